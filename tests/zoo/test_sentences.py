"""The sentence encoders: what the libraries make of them, and how well they search."""

import numpy as np
import pytest

from course_lib.zoo import sentences
from course_lib.zoo.assembly import write_files

NEAR = ["Where can I buy a ticket?", "I would like to purchase tickets."]
FAR = "The moon has no atmosphere."


@pytest.fixture(scope="module", params=sentences.ENTRIES, ids=lambda entry: entry.repo_id.name)
def folder(request, tmp_path_factory):
    path = tmp_path_factory.mktemp("sentences")
    write_files(request.param.files(), path)
    return path


def test_sentence_transformers_loads_it_and_knows_what_is_alike(folder):
    library = pytest.importorskip("sentence_transformers")
    model = library.SentenceTransformer(str(folder), device="cpu")
    assert model.max_seq_length == 256
    vectors = model.encode([*NEAR, FAR])
    near, far = model.similarity(vectors[:1], vectors[1:])[0].tolist()
    assert near > far + 0.3 * abs(far)


def test_the_library_pools_as_we_do(folder):
    library = pytest.importorskip("sentence_transformers")
    given = library.SentenceTransformer(str(folder), device="cpu").encode([*NEAR, FAR])
    given /= np.linalg.norm(given, axis=1, keepdims=True)
    model = sentences.load_encoder(sentences.base.base_weights())
    tokenizer = sentences.load_tokenizer(sentences.base.base_vocabulary(), lowercase=True)
    pooled = sentences.pooled_vectors(model, tokenizer, [*NEAR, FAR])
    normalized = (folder / "modules.json").read_text().count("Normalize") > 0
    np.testing.assert_allclose(given, pooled["mean" if normalized else "cls"], atol=1e-5)


def test_search_on_real_questions(data_dir):
    measured = sentences.measure(data_dir, questions=40)
    assert measured["mean"].value >= 0.8 and measured["cls"].value >= 0.7

"""Stand-ins: small models under the names of big ones, made of what a pip install brings.

`course_lib.zoo.catalogue` lists them and makes them; its other modules say how.
"""

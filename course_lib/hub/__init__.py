"""Course Hub: a Hugging Face Hub on this machine, for the unmodified clients.

`client` finds and starts it with little more than the standard library; everything else belongs to
the server process. Nothing here imports the zoo: stand-ins come in as a catalogue that the `course`
command hands to the server.
"""

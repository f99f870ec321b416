"""Uses a library of tests/size as an app would: loaded as it is shipped, in a process that has no Rust."""

import ctypes
import json
import sys
import tempfile

library = ctypes.CDLL(sys.argv[1])
features = sys.argv[2]


def call(name, *words):
    """Tells the words, calls the function, and gives its code and answer."""
    for byte in b"".join(word.encode() + b"\0" for word in words):
        library.tacit_tell(ctypes.c_uint8(byte))
    code = getattr(library, name)()
    answer = bytearray()
    while (byte := library.tacit_answer(ctypes.c_size_t(len(answer)))) >= 0:
        answer.append(byte)
    return code, answer.decode()


def expect(found, wanted):
    """Ends the process where a call did not answer as it should."""
    if found != wanted:
        sys.exit(f"{found} instead of {wanted}")


def rank():
    """Without a model there is an error in words, and nothing ends the process."""
    expect(call("tacit_recommend", "5"), (-1, "nothing is open"))
    code, said = call("tacit_open", "7", "film\n")
    expect((code, bool(said)), (-1, True))


def store(folder):
    """What is done is durable, exported and forgotten, by SQLite as it is built here."""
    expect(call("tacit_open", folder), (0, ""))
    expect(call("tacit_consent", "2"), (0, "false"))
    for film in ("film-1", "film-2", "film-1"):
        expect(call("tacit_record", film, "view", "1700000000000"), (0, "false"))
    expect(call("tacit_open", folder), (0, ""))
    exported = json.loads(call("tacit_export")[1])
    expect([one["id"] for one in exported["waiting"]], ["film-1", "film-2", "film-1"])
    expect(exported["consent"], "contribute")
    expect(call("tacit_choose", "3"), (0, ""))
    expect(call("tacit_recommend", "5"), (0, ""))
    expect(call("tacit_privacy", "1700000000000"), (0, "0 0"))
    expect(call("tacit_forget"), (0, "3"))
    expect(json.loads(call("tacit_export")[1])["waiting"], [])


def train(folder):
    """What uses the network says what is wrong with what it was told."""
    for name in ("tacit_enrol", "tacit_step", "tacit_refresh", "tacit_leave"):
        code, said = call(name, folder, "https://localhost:1", "localhost", "", "{}", "", "0")
        expect((code, "policy" in said), (-1, True))


with tempfile.TemporaryDirectory() as folder:
    if not features:
        rank()
    else:
        store(folder)
    if features == "train":
        train(folder)

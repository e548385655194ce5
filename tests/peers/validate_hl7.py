"""Judges ORU^R01 messages by two libraries that are not ours.

    validate_hl7.py FILE...

Each FILE is one message, segments ended by CR or LF, in the character set that its MSH-18 names. hl7apy checks it
against the 2.5.1 structures in strict mode; hl7 parses it by itself and has to see the same observations. Prints one
line a file; exit status 1 if any file fails.
"""

import sys

import hl7
from hl7apy.consts import VALIDATION_LEVEL
from hl7apy.parser import parse_message

CHARACTER_SETS = {"UNICODE UTF-8": "utf-8", "GB 18030-2000": "gb18030"}
STATUS_WORDS = "demonstration, not for clinical use"


def decoded(data: bytes) -> str:
    """The text of a message, decoded as its MSH-18 says; segments end in CR."""
    header = data.split(b"\r")[0].split(b"\n")[0]
    name = header.split(b"|")[17].decode("ascii")
    text = data.decode(CHARACTER_SETS[name])
    return text.replace("\r\n", "\r").replace("\n", "\r")


def validate(text: str) -> str:
    """Raises on a message that is not what an EMR can file; returns a summary."""
    message = parse_message(text, validation_level=VALIDATION_LEVEL.STRICT)
    assert message.validate(), "hl7apy: not valid"
    other = hl7.parse(text)
    observations = [segment for segment in other if str(segment[0]) == "OBX"]
    group = message.oru_r01_patient_result.oru_r01_order_observation
    assert len(group.oru_r01_observation) == len(observations), "the libraries disagree on the observations"
    assert str(other["PID"][0][3]), "a result of nobody"
    assert str(other["OBR"][0][25]) == "P", "OBR-25 is not preliminary"
    for observation in observations:
        assert str(observation[11]) == "P", "OBX-11 is not preliminary"
        if str(observation[2]) == "TX":
            assert STATUS_WORDS in str(observation[5]).lower(), "a text without the status words"
    return f"{len(observations)} observations, control id {other['MSH'][0][10]}"


def main() -> int:
    failed = False
    for path in sys.argv[1:]:
        try:
            with open(path, "rb") as file:
                print(f"{path}: valid, {validate(decoded(file.read()))}")
        except Exception as error:  # any objection of either library is a failure
            failed = True
            print(f"{path}: {type(error).__name__}: {error}")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())

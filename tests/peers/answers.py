"""Asks whatever a peer can ask, in any combination, and holds every answer against a conformance statement.

usage: answers.py PORT STATEMENT SEED ASSOCIATIONS
"""

import random
import re
import sys
import time
import warnings
from io import BytesIO

from pydicom.dataset import Dataset
from pynetdicom import AE
from pynetdicom.dimse_primitives import (
    C_ECHO, C_FIND, C_GET, C_MOVE, C_STORE, N_ACTION, N_CREATE, N_EVENT_REPORT, N_GET, N_SET,
)
from pynetdicom.dsutils import encode

import steady  # noqa: F401

warnings.simplefilter("ignore")

ROOT = "1.2.840.10008."
SECTIONS = {
    "Verification": ["1.1"],
    "Storage": ["5.1.4.1.1.2", "5.1.4.1.1.5"],
    "Query": ["5.1.4.1.2.1.1", "5.1.4.1.2.2.1", "5.1.4.1.2.3.1"],
    "Retrieval": ["5.1.4.1.2.2.2", "5.1.4.1.2.2.3"],
    "Storage Commitment": ["1.20.1"],
    "Modality Worklist": ["5.1.4.31"],
    "Modality Performed Procedure Step": ["3.1.2.3.3", "3.1.2.3.4"],
    "Unified Procedure Step": [f"5.1.4.34.6.{number}" for number in range(1, 6)],
}
CLASSES = {ROOT + uid: title for title, uids in SECTIONS.items() for uid in uids}
PRIMITIVES = [C_STORE, C_FIND, C_MOVE, C_GET, C_ECHO, N_CREATE, N_SET, N_GET, N_ACTION, N_EVENT_REPORT]
VALUES = {
    "QueryRetrieveLevel": ["STUDY", "PATIENT", "IMAGE", "x", ""],
    "PatientID": ["*", "P1", ""],
    "StudyInstanceUID": ["1.2.3", "x", "", "*"],
    "SOPInstanceUID": ["1.2.3.4", ""],
    "SOPClassUID": [ROOT + "5.1.4.1.1.2", "1.2"],
    "SeriesInstanceUID": ["1.2.9", ""],
    "StudyDate": ["soon", "20200101-", ""],
    "ProcedureStepState": ["SCHEDULED", "IN PROGRESS", "COMPLETED", "CANCELED", "x"],
    "TransactionUID": ["1.2.3", "x"],
    "ScheduledProcedureStepPriority": ["HIGH", "x"],
    "ProcedureStepLabel": ["a", ""],
    "ScheduledProcedureStepStartDateTime": ["20260101", ""],
    "InputReadinessState": ["READY", "x"],
    "ReceivingAE": ["X", ""],
    "Modality": ["CT", ""],
    "PerformedProcedureStepID": ["1"],
    "PerformedStationAETitle": ["A"],
    "PerformedProcedureStepStartDate": ["20260101", "x"],
    "PerformedProcedureStepStartTime": ["10"],
    "PerformedProcedureStepStatus": ["IN PROGRESS", "COMPLETED"],
}
# What travels beside the command, by whichever name.
DATA_SETS = ["DataSet", "Identifier", "AttributeList", "ModificationList", "ActionInformation", "EventInformation"]


def stated(path):
    """Statuses by the title of the section."""
    with open(path, encoding="utf-8") as file:
        sections = re.split(r"^### [0-9.]+ ", file.read(), flags=re.M)
    found = {}
    for section in sections:
        title = section.split("\n", 1)[0].strip()
        rows = re.split(r"^Statuses of ", section, flags=re.M)[1:]
        found[title] = {int(code, 16) for row in rows for code in re.findall(r"^\| `([0-9A-F]{4})` \|", row, re.M)}
    return found


def data_set():
    if random.random() < 0.2:
        return bytes(random.getrandbits(8) for _ in range(random.randint(0, 60)))
    made = Dataset()
    for keyword in random.sample(list(VALUES), random.randint(0, len(VALUES))):
        setattr(made, keyword, random.choice(VALUES[keyword]))
    if random.random() < 0.4:
        item = Dataset()
        item.StudyInstanceUID = "1.2.3"
        item.ReferencedSOPClassUID, item.ReferencedSOPInstanceUID = ROOT + "5.1.4.1.1.2", "1.2.3.4"
        made.ReferencedSOPSequence = made.FailedSOPSequence = made.ScheduledStepAttributesSequence = [item]
    return encode(made, True, True)


def request(number, abstract_syntax):
    primitive = random.choice(PRIMITIVES)()
    sop_class = random.choice([abstract_syntax, random.choice(list(CLASSES)), "1.2.3"])
    instances = ["1.2.3.4", ROOT + "1.20.1.1", ROOT + "5.1.4.34.5", f"2.25.{random.randint(1, 9)}"]
    sop_instance = random.choice(instances)
    for name, value in {
        "MessageID": number,
        "AffectedSOPClassUID": sop_class,
        "RequestedSOPClassUID": sop_class,
        "AffectedSOPInstanceUID": sop_instance,
        "RequestedSOPInstanceUID": sop_instance,
        "Priority": 2,
        "MoveDestination": "NOBODY",
        "ActionTypeID": random.randint(0, 7),
        "EventTypeID": random.randint(0, 4),
    }.items():
        if hasattr(primitive, name):
            setattr(primitive, name, value)
    made = data_set()
    for name in DATA_SETS:
        # Of an empty one pynetdicom announces that it comes, and sends none.
        if made and hasattr(primitive, name):
            setattr(primitive, name, BytesIO(made))
    return primitive


def answers(association, context, primitive):
    """The statuses of all answers."""
    association.dimse.send_msg(primitive, context.context_id)
    status = 0xFF00
    while status in (0xFF00, 0xFF01):
        _, answer = association.dimse.get_msg(block=True)
        assert answer is not None, f"no answer to {type(primitive).__name__} on {context.abstract_syntax}"
        status = answer.Status
        yield status


def main(port, statement, seed, associations):
    random.seed(int(seed))
    known, seen, count = stated(statement), set(), 0
    assert all(known[title] for title in SECTIONS), known
    for _ in range(int(associations)):
        ae = AE("ANYBODY")
        ae.dimse_timeout = 20
        for sop_class in CLASSES:
            ae.add_requested_context(sop_class, "1.2.840.10008.1.2")
        association = ae.associate("127.0.0.1", int(port), ae_title="YINGHAI")
        assert association.is_established and len(association.accepted_contexts) == len(CLASSES)
        # Its own reactor would take the answers.
        association._reactor_checkpoint.clear()
        while not association._is_paused:
            time.sleep(0.001)
        for number in range(1, 26):
            context = random.choice(association.accepted_contexts)
            title = CLASSES[context.abstract_syntax]
            for status in answers(association, context, request(number, context.abstract_syntax)):
                assert status == 0x0211 or status in known[title], f"{title}: {status:04X} is not stated"
                seen.add((title, status))
                count += 1
        association._reactor_checkpoint.set()
        association.release()
    print(f"{count} answers, {len(seen)} of them different, all stated")


main(*sys.argv[1:])

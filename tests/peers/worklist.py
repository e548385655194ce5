"""pynetdicom as modality and as workstation that look at the worklist: worklist.py PORT

CT1 sees its own steps A1 and A3, RIS all of A1 to A3, STORER has no worklist."""

import sys

from pydicom.dataset import Dataset
from pynetdicom import AE
from pynetdicom.pdu_primitives import SOPClassExtendedNegotiation
from pynetdicom.sop_class import ModalityWorklistInformationFind as Find

import steady  # noqa: F401

port = int(sys.argv[1])


def open_association(calling, fuzzy=False):
    ae = AE(calling)
    ae.add_requested_context(Find)
    item = SOPClassExtendedNegotiation()
    item.sop_class_uid, item.service_class_application_information = Find, b"\x01\x00\x01"
    return ae.associate("127.0.0.1", port, ae_title="YINGHAI", ext_neg=[item] if fuzzy else [])


def query(step=None, **keys):
    ds = Dataset()
    ds.SpecificCharacterSet = keys.pop("charset", "ISO_IR 192")
    ds.PatientName = ds.AccessionNumber = ds.StudyInstanceUID = ds.RequestedProcedureID = ""
    for name, value in keys.items():
        setattr(ds, name, value)
    item = Dataset()
    item.Modality = item.ScheduledStationAETitle = item.ScheduledProcedureStepStatus = ""
    for name, value in (step or {}).items():
        setattr(item, name, value)
    ds.ScheduledProcedureStepSequence = [item]
    return ds


def find(calling, ds, fuzzy=False):
    association = open_association(calling, fuzzy)
    assert association.is_established
    answers, last = [], None
    for status, answer in association.send_c_find(ds, Find):
        last = status.Status
        if last in (0xFF00, 0xFF01):
            answers.append((last, answer))
    association.release()
    assert last == 0x0000, hex(last)
    return answers


def accessions(answers):
    return [answer.AccessionNumber for _, answer in answers]


# Who may see what.
assert accessions(find("CT1", query())) == ["A1", "A3"]
assert accessions(find("RIS", query())) == ["A1", "A2", "A3"]
association = open_association("STORER")
assert not association.accepted_contexts
association.abort()

# Every key asked for comes back, and no other.
status, answer = find("RIS", query(AccessionNumber="A1"))[0]
assert status == 0xFF00
names = [element.keyword for element in answer]
assert names == ["SpecificCharacterSet", "AccessionNumber", "PatientName", "StudyInstanceUID",
                 "ScheduledProcedureStepSequence", "RequestedProcedureID"], names
step = answer.ScheduledProcedureStepSequence[0]
assert (step.Modality, step.ScheduledStationAETitle, step.ScheduledProcedureStepStatus) == ("CT", "CT1", "SCHEDULED")
assert answer.StudyInstanceUID and answer.RequestedProcedureID
assert answer.PatientName.ideographic == "王^小东"

# Date and time together are one range.
def within(date, time):
    keys = {"ScheduledProcedureStepStartDate": date, "ScheduledProcedureStepStartTime": time}
    return accessions(find("RIS", query(keys)))


assert within("20261201", "0900-1000") == ["A1"]
assert within("20261130-20261201", "1500-1500") == ["A1", "A2"]
assert within("20261201-20261202", "1430-0800") == ["A2", "A3"]
assert within("20261202-", "") == []

# Names: wildcards in any group; as typed where that was agreed.
assert accessions(find("RIS", query(PatientName="wang*"))) == ["A1"]
assert accessions(find("RIS", query(PatientName="张*"))) == ["A2"]
assert accessions(find("RIS", query(PatientName="xiaodong wang"))) == []
assert accessions(find("RIS", query(PatientName="zhangsan"), fuzzy=True)) == ["A2"]

# The requester's character set, where it can hold the value.
for charset, expected in [("ISO_IR 100", "ISO_IR 192"), ("GB18030", "GB18030"), ("\\ISO 2022 IR 58", ["", "ISO 2022 IR 58"])]:
    _, answer = find("RIS", query(charset=charset.split("\\"), AccessionNumber="A1"))[0]
    assert answer.SpecificCharacterSet == expected, answer.SpecificCharacterSet
    if expected[-1] == "ISO 2022 IR 58":
        # pydicom leaves the escape sequences in the text.
        assert b"\x1b$)A\xcd\xf5^\x1b$)A\xd0\xa1\xb6\xab" in answer.PatientName.original_string
    else:
        assert answer.PatientName.ideographic == "王^小东", answer.PatientName
_, answer = find("RIS", query(charset="ISO_IR 100", AccessionNumber="A3"))[0]
assert (answer.SpecificCharacterSet, answer.PatientName) == ("ISO_IR 100", "Müller^Jörg"), answer

# What cannot be compared does not restrict, and is said so.
ds = query()
ds.add_new(0x00091001, "OB", b"\x01\x02")
assert [status for status, _ in find("RIS", ds)] == [0xFF01] * 3

# What cannot be understood is refused.
association = open_association("RIS")
ds = query({"ScheduledProcedureStepStartDate": "soon"})
statuses = [status.Status for status, _ in association.send_c_find(ds, Find)]
assert statuses == [0xA900], statuses
association.release()
print("all is well")

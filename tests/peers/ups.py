"""pynetdicom as scheduler, performer and watcher of workitems: ups.py PORT LISTEN-PORT

RIS pushes, AI performs, WATCHER hears of it at LISTEN-PORT."""

import sys
import threading
import time

from pydicom.dataset import Dataset
from pydicom.uid import UID, generate_uid
from pynetdicom import AE, evt
from pynetdicom.sop_class import (
    UnifiedProcedureStepEvent as Event,
    UnifiedProcedureStepPull as Pull,
    UnifiedProcedureStepPush as Push,
    UnifiedProcedureStepQuery as Query,
    UnifiedProcedureStepWatch as Watch,
)

import steady  # noqa: F401

GLOBAL, FILTERED = UID("1.2.840.10008.5.1.4.34.5"), UID("1.2.840.10008.5.1.4.34.5.1")
port, listen_port = int(sys.argv[1]), int(sys.argv[2])
heard = []


def report(event):
    request = event.request
    heard.append((event.event_type, request.AffectedSOPInstanceUID, event.event_information))
    assert request.AffectedSOPClassUID == Push
    return 0x0000, None


listener = AE("WATCHER")
listener.add_supported_context(Event, scu_role=False, scp_role=True)
server = listener.start_server(("127.0.0.1", listen_port), block=False, evt_handlers=[(evt.EVT_N_EVENT_REPORT, report)])


def open_association(calling):
    ae = AE(calling)
    for sop_class in (Push, Pull, Watch, Query, Event):
        ae.add_requested_context(sop_class)
    association = ae.associate("127.0.0.1", port, ae_title="YINGHAI")
    assert association.is_established and len(association.accepted_contexts) == 5
    return association


def expect(workitem, event_type, state=None):
    """Waits for an event and takes it; returns what it tells."""
    for _ in range(300):
        for entry in list(heard):
            if entry[:2] == (event_type, workitem) and state in (None, entry[2].get("ProcedureStepState")):
                heard.remove(entry)
                return entry[2]
        time.sleep(0.1)
    raise AssertionError(f"no event {event_type} {state} of {workitem}: {heard}")


def scheduled(label="Lung nodules", **change):
    ds = Dataset()
    ds.SpecificCharacterSet = "ISO_IR 192"
    ds.ProcedureStepState, ds.ScheduledProcedureStepPriority = "SCHEDULED", "MEDIUM"
    ds.ProcedureStepLabel, ds.WorklistLabel, ds.InputReadinessState = label, "AI", "READY"
    ds.ScheduledProcedureStepStartDateTime = "20261128090000+0800"
    ds.PatientName, ds.PatientID, ds.StudyInstanceUID = "Wang^XiaoDong=王^小东", "P1", "1.2.3"
    ds.PatientBirthDate = ds.PatientSex = ds.TransactionUID = ""
    for name in ("ScheduledProcessingParametersSequence", "ScheduledStationNameCodeSequence", "ScheduledWorkitemCodeSequence",
                 "InputInformationSequence", "ProcedureStepProgressInformationSequence",
                 "UnifiedProcedureStepPerformedProcedureSequence"):
        setattr(ds, name, [])
    for name, value in change.items():
        setattr(ds, name, value)
    return ds


def code(value):
    ds = Dataset()
    ds.CodeValue, ds.CodingSchemeDesignator, ds.CodeMeaning = value, "DCM", "meaning"
    return ds


def push(association, ds, uid):
    status, _ = association.send_n_create(ds, Push, uid)
    return status.Status


def act(association, action, uid, by, **keys):
    ds = Dataset()
    for name, value in keys.items():
        setattr(ds, name, value)
    status, _ = association.send_n_action(ds, action, Push, uid, meta_uid=by)
    return status.Status


def state(association, uid, to, transaction):
    keys = {"ProcedureStepState": to}
    if transaction:
        keys["TransactionUID"] = transaction
    return act(association, 1, uid, Pull, **keys)


def change(association, uid, transaction=None, **keys):
    ds = Dataset()
    if transaction:
        ds.TransactionUID = transaction
    for name, value in keys.items():
        setattr(ds, name, value)
    status, _ = association.send_n_set(ds, Push, uid, meta_uid=Pull)
    return status.Status


def get(association, uid, tags):
    status, ds = association.send_n_get(tags, Push, uid, meta_uid=Watch)
    return status.Status, ds


def find(association, **keys):
    ds = Dataset()
    ds.SOPInstanceUID = ds.PatientName = ds.ProcedureStepState = ds.TransactionUID = ""
    for name, value in keys.items():
        setattr(ds, name, value)
    return [answer for status, answer in association.send_c_find(ds, Query) if status.Status == 0xFF00]


ris, ai = open_association("RIS"), open_association("AI")
first, second, third, fourth = (generate_uid() for _ in range(4))

# Who wants to hear must be somebody that can be called.
assert act(ris, 3, GLOBAL, Watch, ReceivingAE="NOBODY", DeletionLock="FALSE") == 0xC308
assert act(ris, 3, first, Watch, ReceivingAE="WATCHER", DeletionLock="FALSE") == 0xC307
assert act(ris, 3, FILTERED, Watch, ReceivingAE="WATCHER", DeletionLock="FALSE", ProcedureStepLabel="Lung nodules") == 0x0000
assert act(ris, 9, first, Watch, ReceivingAE="WATCHER") == 0x0123
assert act(ris, 3, first, Pull, ReceivingAE="WATCHER", DeletionLock="FALSE") == 0x0211

# A workitem is created once, scheduled and complete.
assert push(ris, scheduled(ProcedureStepState="IN PROGRESS"), first) == 0xC309
assert push(ris, scheduled(InputReadinessState="MAYBE"), first) == 0x0106
ds = scheduled()
del ds.ProcedureStepLabel
assert push(ris, ds, first) == 0x0120
assert push(ris, scheduled(TransactionUID=generate_uid()), second) == 0xB300
assert push(ris, scheduled(), first) == 0x0000
assert push(ris, scheduled(), first) == 0x0111
assert push(ris, scheduled(label="Report"), third) == 0x0000
expect(first, 1, "SCHEDULED")
expect(second, 1, "SCHEDULED")

# It is found and fetched; whose it is nobody is told.
found = find(ai, ProcedureStepState="SCHEDULED", ProcedureStepLabel="Lung*")
assert {answer.SOPInstanceUID for answer in found} == {first, second}
assert found[0].PatientName.ideographic == "王^小东"
assert len(find(ai, ScheduledProcedureStepStartDateTime="20261128000000+0000-20261128013000+0000")) == 3
assert find(ai, ScheduledProcedureStepStartDateTime="20261129-") == []
status, ds = get(ai, first, [0x00741000, 0x00741204])
assert (status, ds.ProcedureStepState, ds.ProcedureStepLabel, len(ds)) == (0x0000, "SCHEDULED", "Lung nodules", 2)
assert get(ai, generate_uid(), [0x00741000])[0] == 0xC307

# One performs it.
mine, other = generate_uid(), generate_uid()
assert change(ai, first, mine, ProcedureStepLabel="x") == 0xC310
assert state(ai, first, "IN PROGRESS", None) == 0xC301
assert state(ai, first, "COMPLETED", mine) == 0xC310
assert state(ai, first, "IN PROGRESS", mine) == 0x0000
assert state(ris, first, "IN PROGRESS", other) == 0xC302
assert state(ai, first, "SCHEDULED", mine) == 0xC303
expect(first, 1, "IN PROGRESS")
assert change(ai, first, other, ProcedureStepLabel="x") == 0xC301
assert change(ai, first, mine, ProcedureStepState="SCHEDULED") == 0xC303
assert change(ai, first, mine, PatientID="P2") == 0xB305
progress = Dataset()
progress.ProcedureStepProgress = "50"
assert change(ai, first, mine, ProcedureStepProgressInformationSequence=[progress]) == 0x0000
told = expect(first, 3)
assert told.ProcedureStepProgressInformationSequence[0].ProcedureStepProgress == 50, told
assert change(ai, first, mine, ScheduledStationNameCodeSequence=[code("GPU1")]) == 0x0000
assert expect(first, 5).ScheduledStationNameCodeSequence[0].CodeValue == "GPU1"
status, ds = get(ris, first, [0x00081195, 0x00741000, 0x00100020])
assert status == 0x0001 and "TransactionUID" not in ds and ds.PatientID == "P1", ds
assert all(not answer.TransactionUID for answer in find(ris))

# Somebody wants it cancelled: its performer is asked.
assert act(ris, 2, first, Push, ReasonForCancellation="moved", ContactDisplayName="desk") == 0x0000
told = expect(first, 2)
assert (told.RequestingAE, told.ReasonForCancellation, told.ContactDisplayName) == ("RIS", "moved", "desk"), told

# It ends with what was performed, and stays so.
assert state(ai, first, "COMPLETED", mine) == 0xC304
done = Dataset()
done.PerformedStationNameCodeSequence, done.PerformedWorkitemCodeSequence = [code("GPU1")], [code("110005")]
done.PerformedProcedureStepStartDateTime, done.PerformedProcedureStepEndDateTime = "20261128090100", "20261128090200"
done.OutputInformationSequence = []
assert change(ai, first, mine, UnifiedProcedureStepPerformedProcedureSequence=[done]) == 0x0000
assert state(ai, first, "COMPLETED", mine) == 0x0000
expect(first, 1, "COMPLETED")
assert state(ai, first, "COMPLETED", mine) == 0xB306
assert state(ai, first, "CANCELED", mine) == 0xC300
assert change(ai, first, mine, ProcedureStepLabel="x") == 0xC300
assert act(ris, 2, first, Push, ReasonForCancellation="late") == 0xC311

# While nobody is at work on it, it is cancelled at once.
assert act(ris, 2, second, Watch, ReasonForCancellation="gone") == 0x0000
assert expect(second, 1, "CANCELED").ReasonForCancellation == "gone"
assert act(ris, 2, second, Push, ReasonForCancellation="late") == 0xB304

# Nobody is subscribed to the third: its performer cannot be asked.
assert state(ai, third, "IN PROGRESS", mine) == 0x0000
assert act(ris, 2, third, Push, ReasonForCancellation="late") == 0xC312
assert act(ris, 3, third, Watch, ReceivingAE="WATCHER", DeletionLock="TRUE") == 0x0000
expect(third, 1, "IN PROGRESS")
assert act(ris, 5, third, Watch, ReceivingAE="WATCHER") == 0xC314
assert act(ris, 4, third, Watch, ReceivingAE="WATCHER") == 0x0000
assert state(ai, third, "CANCELED", mine) == 0x0000
assert state(ai, third, "CANCELED", mine) == 0xB304

# What is suspended tells of nothing new.
assert act(ris, 5, FILTERED, Watch, ReceivingAE="WATCHER") == 0x0000
assert push(ris, scheduled(), fourth) == 0x0000

# A watcher that is away for a moment misses nothing.
server.shutdown()
assert act(ris, 3, fourth, Watch, ReceivingAE="WATCHER", DeletionLock="FALSE") == 0x0000
time.sleep(1)
server = listener.start_server(("127.0.0.1", listen_port), block=False, evt_handlers=[(evt.EVT_N_EVENT_REPORT, report)])
expect(fourth, 1, "SCHEDULED")
assert not heard, heard

# Of those who claim at the same time one wins.
won, start = [], threading.Barrier(10)


def claim():
    association = open_association("AI")
    start.wait()
    won.append(state(association, fourth, "IN PROGRESS", generate_uid()))
    association.release()


threads = [threading.Thread(target=claim) for _ in range(10)]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
assert sorted(won) == [0x0000] + [0xC302] * 9, won
ris.release()
ai.release()
server.shutdown()
print("all is well")

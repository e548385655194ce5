"""pynetdicom as modalities that report steps, and as the RIS that is told of them: steps.py PORT RIS_PORT

What CT1 reports of a CT goes on to the RIS, which fails at first; what MR1 reports of an MR does not."""

import sys
import time

from pydicom.dataset import Dataset
from pydicom.uid import generate_uid
from pynetdicom import AE, evt
from pynetdicom.sop_class import ModalityPerformedProcedureStep as MPPS

import steady  # noqa: F401

port, ris_port = int(sys.argv[1]), int(sys.argv[2])
attempts, heard = [], []


def on_create(event):
    attempts.append(event.request.AffectedSOPInstanceUID)
    if len(attempts) == 1:
        return 0x0110, None
    heard.append(("create", event.request.AffectedSOPInstanceUID, event.attribute_list))
    return 0x0000, event.attribute_list


def on_set(event):
    heard.append(("set", event.request.RequestedSOPInstanceUID, event.modification_list))
    return 0x0000, event.modification_list


ris = AE("RIS")
ris.add_supported_context(MPPS)
handlers = [(evt.EVT_N_CREATE, on_create), (evt.EVT_N_SET, on_set)]
server = ris.start_server(("127.0.0.1", ris_port), block=False, evt_handlers=handlers)


def begun(modality):
    ds = Dataset()
    ds.SpecificCharacterSet = "GB18030"
    ds.Modality, ds.PatientName, ds.PatientID = modality, "Wang^XiaoDong=王^小东", "P1"
    ds.PatientBirthDate = ds.PatientSex = ds.StudyID = ""
    ds.PerformedStationAETitle, ds.PerformedStationName, ds.PerformedLocation = "CT1", "", ""
    ds.PerformedProcedureStepStartDate, ds.PerformedProcedureStepStartTime = "20261201", "093100"
    ds.PerformedProcedureStepEndDate = ds.PerformedProcedureStepEndTime = ""
    ds.PerformedProcedureStepStatus, ds.PerformedProcedureStepID = "IN PROGRESS", "PPS1"
    ds.PerformedSeriesSequence = []
    step = Dataset()
    step.StudyInstanceUID, step.AccessionNumber = generate_uid(), "A1"
    step.RequestedProcedureID, step.ScheduledProcedureStepID = "R1", "S1"
    ds.ScheduledStepAttributesSequence = [step]
    return ds


def described(text):
    ds = Dataset()
    ds.SpecificCharacterSet = "GB18030"
    ds.PerformedProcedureStepDescription = text
    return ds


def ended():
    ds = Dataset()
    ds.PerformedProcedureStepStatus = "COMPLETED"
    ds.PerformedProcedureStepEndDate, ds.PerformedProcedureStepEndTime = "20261201", "094500"
    series = Dataset()
    series.SeriesInstanceUID, series.ProtocolName, series.PerformingPhysicianName = generate_uid(), "CHEST", ""
    series.OperatorsName, series.SeriesDescription, series.RetrieveAETitle = "", "", "YINGHAI"
    series.ReferencedImageSequence = series.ReferencedNonImageCompositeSOPInstanceSequence = []
    ds.PerformedSeriesSequence = [series]
    return ds


def report(calling, modality, changes):
    ae = AE(calling)
    ae.add_requested_context(MPPS)
    association = ae.associate("127.0.0.1", port, ae_title="YINGHAI")
    assert association.is_established
    uid = generate_uid()
    assert association.send_n_create(begun(modality), MPPS, uid)[0].Status == 0x0000
    for ds in changes:
        assert association.send_n_set(ds, MPPS, uid)[0].Status == 0x0000
    association.release()
    return uid


report("MR1", "MR", [])
uid = report("CT1", "CT", [described("胸部"), ended()])
start = time.monotonic()
while len(heard) < 3 and time.monotonic() - start < 60:
    time.sleep(0.1)
assert [(what, about) for what, about, _ in heard] == [("create", uid), ("set", uid), ("set", uid)], heard
created, first, last = [ds for _, _, ds in heard]
assert created.PatientName.ideographic == "王^小东", created
assert (created.Modality, created.PerformedProcedureStepStatus) == ("CT", "IN PROGRESS")
assert created.ScheduledStepAttributesSequence[0].AccessionNumber == "A1"
assert first.PerformedProcedureStepDescription == "胸部", first
assert last.PerformedProcedureStepStatus == "COMPLETED"
assert last.PerformedSeriesSequence[0].RetrieveAETitle == "YINGHAI"
assert attempts == [uid, uid], attempts
server.shutdown()
print("all is well")

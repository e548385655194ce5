"""pynetdicom as modality that takes a step from the worklist, performs it and reports that: mpps.py PORT

On the worklist are the steps of accession A1 (completed here), A2 (discontinued), A3 (wrong entry selected)."""

import sys

from pydicom.dataset import Dataset
from pydicom.uid import generate_uid
from pynetdicom import AE
from pynetdicom.sop_class import (
    ModalityPerformedProcedureStep as MPPS,
    ModalityPerformedProcedureStepRetrieve as Retrieve,
    ModalityWorklistInformationFind as Find,
)

import steady  # noqa: F401

ae = AE("CT1")
for sop_class in (MPPS, Retrieve, Find):
    ae.add_requested_context(sop_class)
association = ae.associate("127.0.0.1", int(sys.argv[1]), ae_title="YINGHAI")
assert association.is_established and len(association.accepted_contexts) == 3


def on_the_worklist(**step):
    ds = Dataset()
    ds.PatientName = ds.PatientID = ds.AccessionNumber = ds.StudyInstanceUID = ds.RequestedProcedureID = ""
    item = Dataset()
    item.ScheduledProcedureStepID = item.ScheduledProcedureStepStatus = ""
    for name, value in step.items():
        setattr(item, name, value)
    ds.ScheduledProcedureStepSequence = [item]
    answers = [answer for status, answer in association.send_c_find(ds, Find) if status.Status == 0xFF00]
    return {answer.AccessionNumber: answer for answer in answers}


def status_of(accession, **step):
    return on_the_worklist(**step)[accession].ScheduledProcedureStepSequence[0].ScheduledProcedureStepStatus


def begun(entry):
    ds = Dataset()
    ds.SpecificCharacterSet = "ISO_IR 192"
    ds.Modality, ds.PatientName, ds.PatientID = "CT", entry.PatientName, entry.PatientID
    ds.PatientBirthDate = ds.PatientSex = ds.StudyID = ""
    ds.PerformedStationAETitle, ds.PerformedStationName, ds.PerformedLocation = "CT1", "", ""
    ds.PerformedProcedureStepStartDate, ds.PerformedProcedureStepStartTime = "20261201", "093100"
    ds.PerformedProcedureStepEndDate = ds.PerformedProcedureStepEndTime = ""
    ds.PerformedProcedureStepStatus, ds.PerformedProcedureStepID = "IN PROGRESS", "PPS1"
    ds.PerformedSeriesSequence = []
    step = Dataset()
    step.StudyInstanceUID, step.AccessionNumber = entry.StudyInstanceUID, entry.AccessionNumber
    step.RequestedProcedureID = entry.RequestedProcedureID
    step.ScheduledProcedureStepID = entry.ScheduledProcedureStepSequence[0].ScheduledProcedureStepID
    ds.ScheduledStepAttributesSequence = [step]
    return ds


def ended(status):
    ds = Dataset()
    ds.PerformedProcedureStepStatus = status
    ds.PerformedProcedureStepEndDate, ds.PerformedProcedureStepEndTime = "20261201", "094500"
    series = Dataset()
    series.SeriesInstanceUID, series.ProtocolName, series.PerformingPhysicianName = generate_uid(), "CHEST", ""
    series.OperatorsName, series.SeriesDescription, series.RetrieveAETitle = "", "", "YINGHAI"
    series.ReferencedImageSequence = series.ReferencedNonImageCompositeSOPInstanceSequence = []
    ds.PerformedSeriesSequence = [series]
    return ds


def create(ds, uid):
    status, _ = association.send_n_create(ds, MPPS, uid)
    return status


def change(ds, uid):
    status, _ = association.send_n_set(ds, MPPS, uid)
    return status


entries = on_the_worklist()
assert sorted(entries) == ["A1", "A2", "A3"], entries
first = generate_uid()

# What is no step is refused.
for name, expected in [("PerformedProcedureStepID", 0x0120), ("Modality", 0x0120)]:
    ds = begun(entries["A1"])
    delattr(ds, name)
    assert create(ds, first).Status == expected, name
ds = begun(entries["A1"])
ds.PerformedProcedureStepID = ""
assert create(ds, first).Status == 0x0121
ds = begun(entries["A1"])
ds.PerformedProcedureStepStatus = "COMPLETED"
assert create(ds, first).Status == 0x0106

# A step begins once.
assert create(begun(entries["A1"]), first).Status == 0x0000
assert create(begun(entries["A1"]), first).Status == 0x0111
assert status_of("A1") == "STARTED"
assert change(ended("COMPLETED"), generate_uid()).Status == 0x0112

# While it is in progress it changes, but for what it is.
ds = Dataset()
ds.PerformedProcedureStepDescription, ds.PatientID = "chest", "OTHER"
assert change(ds, first).Status == 0x0107
status, got = association.send_n_get([0x00100020, 0x00400254, 0x00400252], Retrieve, first)
assert status.Status == 0x0000, status
assert (got.PatientID, got.PerformedProcedureStepDescription) == ("A1", "chest"), got
assert len(got) == 3, got

# It ends with what the standard asks for, and is over then.
ds = ended("COMPLETED")
del ds.PerformedProcedureStepEndTime
assert change(ds, first).Status == 0x0121
assert change(ended("COMPLETED"), first).Status == 0x0000
status = change(ended("DISCONTINUED"), first)
assert (status.Status, status.ErrorID) == (0x0110, 0xA710), status
assert sorted(on_the_worklist()) == ["A2", "A3"]
assert status_of("A1", ScheduledProcedureStepStatus="COMPLETED") == "COMPLETED"

# A step that was discontinued is over, unless it was the wrong one.
second, third = generate_uid(), generate_uid()
assert create(begun(entries["A2"]), second).Status == 0x0000
assert change(ended("DISCONTINUED"), second).Status == 0x0000
assert status_of("A2", ScheduledProcedureStepStatus="DISCONTINUED") == "DISCONTINUED"
assert create(begun(entries["A3"]), third).Status == 0x0000
ds = ended("DISCONTINUED")
reason = Dataset()
reason.CodeValue, reason.CodingSchemeDesignator, reason.CodeMeaning = "110514", "DCM", "Incorrect worklist entry selected"
ds.PerformedProcedureStepDiscontinuationReasonCodeSequence = [reason]
assert change(ds, third).Status == 0x0000
assert status_of("A3") == "SCHEDULED"

# Who names no instance leaves it to us.
status, _ = association.send_n_create(begun(entries["A3"]), MPPS)
assert status.Status == 0x0000, status
association.release()
print("all is well")

"""A synthetic radiograph as a DICOM file: Digital X-Ray or Computed Radiography, uncompressed, 12 bits in 16."""

import io
import uuid

import numpy as np
from pydicom.dataset import FileDataset, FileMetaDataset
from pydicom.uid import (
    ComputedRadiographyImageStorage,
    DigitalXRayImageStorageForPresentation,
    ExplicitVRLittleEndian,
)

from shared.radiograph.anatomy import Grey

_STORAGE = {"DX": DigitalXRayImageStorageForPresentation, "CR": ComputedRadiographyImageStorage}
_IMPLEMENTATION = "2.25.81985529216486895"
_NOTE = "SYNTHETIC: drawn by Tidemill, not of a person"


def to_dicom(image: Grey, seed: int, modality: str = "DX", *, negative: bool = False) -> bytes:
    """A Part 10 file whose tags all say that it is synthetic. The same arguments give the same bytes.

    Args:
        image: uint16 [height, width] of 12 bits, bright is dense.
        modality: ``DX`` or ``CR``.
        negative: stored as MONOCHROME1, where the lowest value is white.
    """
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID = _STORAGE[modality]
    meta.MediaStorageSOPInstanceUID = _uid("instance", seed, modality, negative)
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    meta.ImplementationClassUID = _IMPLEMENTATION
    dataset = FileDataset(None, {}, file_meta=meta, preamble=b"\0" * 128)
    dataset.SOPClassUID = meta.MediaStorageSOPClassUID
    dataset.SOPInstanceUID = meta.MediaStorageSOPInstanceUID
    dataset.StudyInstanceUID, dataset.SeriesInstanceUID = _uid("study", seed), _uid("series", seed, modality)
    _identify(dataset, seed, modality)
    _describe(dataset, modality)
    _place_pixels(dataset, image, negative)
    file = io.BytesIO()
    dataset.save_as(file, enforce_file_format=True)
    return file.getvalue()


def _identify(dataset: FileDataset, seed: int, modality: str) -> None:
    dataset.PatientName, dataset.PatientID = "SYNTHETIC^TIDEMILL", f"SYNTHETIC-{seed}"
    dataset.PatientBirthDate = dataset.PatientSex = ""
    dataset.PatientIdentityRemoved, dataset.DeidentificationMethod = "YES", _NOTE
    dataset.StudyID = dataset.AccessionNumber = dataset.ReferringPhysicianName = ""
    dataset.StudyDate, dataset.StudyTime = "20000101", "000000"
    dataset.Modality, dataset.SeriesNumber, dataset.InstanceNumber = modality, 1, 1
    dataset.Manufacturer, dataset.ManufacturerModelName = "Tidemill", "radiograph"
    dataset.StudyDescription = dataset.SeriesDescription = dataset.ImageComments = _NOTE
    dataset.BurnedInAnnotation = "YES"  # the word SYNTHETIC


def _describe(dataset: FileDataset, modality: str) -> None:
    """The view, and what the DX and CR modules (PS3.3 C.8.11, C.8.1) must hold."""
    dataset.ImageType = ["DERIVED", "PRIMARY"] + ([""] if modality == "DX" else [])
    dataset.DerivationDescription = _NOTE
    dataset.BodyPartExamined, dataset.ViewPosition = "CHEST", "PA"
    dataset.PatientOrientation, dataset.ImageLaterality = ["L", "F"], "U"
    dataset.ImagerPixelSpacing = [1.6, 1.6]
    if modality == "DX":
        dataset.PresentationIntentType = "FOR PRESENTATION"
        dataset.PixelIntensityRelationship, dataset.PixelIntensityRelationshipSign = "LOG", 1
        dataset.RescaleIntercept, dataset.RescaleSlope, dataset.RescaleType = 0, 1, "US"
        dataset.LossyImageCompression = "00"
        dataset.DetectorType = ""
        dataset.AcquisitionContextSequence = dataset.AnatomicRegionSequence = dataset.ViewCodeSequence = []


def _place_pixels(dataset: FileDataset, image: Grey, negative: bool) -> None:
    dataset.Rows, dataset.Columns = image.shape
    dataset.SamplesPerPixel, dataset.PixelRepresentation = 1, 0
    dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit = 16, 12, 11
    dataset.PhotometricInterpretation = "MONOCHROME1" if negative else "MONOCHROME2"
    dataset.PresentationLUTShape = "INVERSE" if negative else "IDENTITY"
    dataset.WindowCenter, dataset.WindowWidth = 2048, 4096
    stored = 4095 - image if negative else image
    dataset.PixelData = np.ascontiguousarray(stored, "<u2").tobytes()


def _uid(*parts: object) -> str:
    """A UID made of a UUID (PS3.5 B.2), the same for the same parts."""
    return f"2.25.{uuid.uuid5(uuid.NAMESPACE_OID, '/'.join(map(str, ('tidemill', *parts)))).int}"

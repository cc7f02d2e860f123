"""Defined terms of DICOM (PS3.3). A value is passed on only if it is one of them: anything else may be a person's name."""

from typing import Any


def _terms(text: str) -> frozenset[str]:
    return frozenset(text.split())


OTHER = "OTHER"  # a value was given, and is none of the defined ones

MODALITIES = _terms(
    "ANN AR ASMT AU BDUS BI BMD CFM CR CT CTPROTOCOL DMS DG DOC DX ECG EEG EMG EOG EPS ES FID GM HC HD IO IOL IVOCT IVUS KER KO "
    "LEN LS MG MR M3D NM OAM OCT OP OPM OPT OPTBSV OPTENF OPV OSS OT PA PLAN POS PR PT PX REG RESP RF RG RTDOSE RTIMAGE "
    "RTINTENT RTPLAN RTRAD RTRECORD RTSEGANN RTSTRUCT RWV SEG SM SMR SR SRF STAIN TEXTUREMAP TG US VA XA XAPROTOCOL XC"
)
PHOTOMETRICS = frozenset({"PALETTE COLOR"}) | _terms(
    "MONOCHROME1 MONOCHROME2 RGB YBR_FULL YBR_FULL_422 YBR_PARTIAL_420 YBR_ICT YBR_RCT"
)
BODY_PARTS = _terms(
    "ABDOMEN ABDOMENPELVIS ANKLE ARM BREAST CHEST CHESTABDOMEN CLAVICLE COCCYX CSPINE ELBOW EXTREMITY FEMUR FINGER FOOT FOREARM "
    "HAND HEAD HEART HIP HUMERUS JAW KNEE LEG LIVER LSPINE LUNG NECK PELVIS RIB SCAPULA SHOULDER SKULL SPINE SSPINE STERNUM "
    "THIGH THORAX THUMB TOE TSPINE WHOLEBODY WRIST"
)
VIEWS = _terms("AP PA LL RL RLD LLD RLO LLO LATERAL LAT CC MLO ML LM OBLIQUE")


def defined(value: Any, terms: frozenset[str]) -> str:
    """The value, or its first, if it is one of `terms`; "" if there is none; `OTHER` else."""
    if isinstance(value, str):
        text = value
    else:
        try:
            text = str(next(iter(value)))
        except (TypeError, StopIteration):
            return "" if not value else OTHER
    text = text.strip(" \0").upper()
    return text if text in terms or not text else OTHER

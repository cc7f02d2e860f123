"""Images from untrusted bytes: PNG, JPEG and DICOM become one grey picture of a fixed size, in processes that may die."""

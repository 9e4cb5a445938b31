//! Sound devices: list, open, follow; the null and the WAV device.

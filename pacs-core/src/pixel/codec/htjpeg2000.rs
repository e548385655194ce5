use super::Decoded;
use crate::pixel::{ImagePixel, PixelError};
pub(in crate::pixel) fn decode(_image: &ImagePixel, _encoded: &[u8]) -> Result<Decoded, PixelError> {
    Err(PixelError::codec("not decoded yet"))
}

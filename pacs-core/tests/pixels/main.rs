//! Decoding against the test corpus: the pixels its manifest expects, how they are shown, frames with damage, and what other
//! decoders make of frames that are encoded here.

mod corpus;
mod expected;
mod hostile;
mod shown;
mod transcoded;

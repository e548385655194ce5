//! Decoding against the test corpus: the pixels its manifest expects, and frames with damage.

mod corpus;
mod expected;
mod hostile;

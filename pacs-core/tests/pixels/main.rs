//! Decoding against the test corpus: the pixels its manifest expects, how they are shown, and frames with damage.

mod corpus;
mod expected;
mod hostile;
mod shown;

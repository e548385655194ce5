//! Decoded stored values.

/// Stored values; the container is as wide as Bits Allocated, 1-bit data being one byte a pixel.
#[derive(Debug, Clone, PartialEq)]
pub enum Samples {
    U8(Vec<u8>),
    I8(Vec<i8>),
    U16(Vec<u16>),
    I16(Vec<i16>),
    U32(Vec<u32>),
    I32(Vec<i32>),
    F32(Vec<f32>),
    F64(Vec<f64>),
}

/// Runs `$body` with `$values` bound to the vector inside, whatever its type.
macro_rules! each {
    ($samples:expr, $values:ident => $body:expr) => {
        match $samples {
            Samples::U8($values) => $body,
            Samples::I8($values) => $body,
            Samples::U16($values) => $body,
            Samples::I16($values) => $body,
            Samples::U32($values) => $body,
            Samples::I32($values) => $body,
            Samples::F32($values) => $body,
            Samples::F64($values) => $body,
        }
    };
}
pub(super) use each;

impl Samples {
    pub fn len(&self) -> usize {
        each!(self, values => values.len())
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Little endian bytes, the container size being Bits Allocated: a frame of Explicit VR Little Endian pixel data.
    pub fn to_le_bytes(&self) -> Vec<u8> {
        each!(self, values => values.iter().flat_map(|v| v.to_le_bytes()).collect())
    }

    /// The sample at `index`.
    pub fn get(&self, index: usize) -> Option<f64> {
        each!(self, values => values.get(index).map(|&v| num(v)))
    }

    /// As [`Samples::U16`] or [`Samples::I16`], which WebGL2 takes as R16UI and R16I; `None` where values do not fit.
    pub fn to_16_bit(&self) -> Option<Self> {
        match self {
            Self::U8(v) => Some(Self::U16(v.iter().map(|&v| v.into()).collect())),
            Self::I8(v) => Some(Self::I16(v.iter().map(|&v| v.into()).collect())),
            Self::U16(_) | Self::I16(_) => Some(self.clone()),
            Self::U32(v) => v.iter().map(|&v| v.try_into().ok()).collect::<Option<_>>().map(Self::U16),
            Self::I32(v) => v.iter().map(|&v| v.try_into().ok()).collect::<Option<_>>().map(Self::I16),
            Self::F32(_) | Self::F64(_) => None,
        }
    }
}

/// Any sample as f64.
pub(super) fn num(value: impl Into<f64>) -> f64 {
    value.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_are_little_endian_and_as_wide_as_the_container() {
        assert_eq!(Samples::I16(vec![-2, 258]).to_le_bytes(), [0xFE, 0xFF, 2, 1]);
        assert_eq!(Samples::U8(vec![1, 2]).to_le_bytes(), [1, 2]);
    }

    #[test]
    fn textures_are_sixteen_bit_or_refused() {
        assert_eq!(Samples::I8(vec![-1]).to_16_bit(), Some(Samples::I16(vec![-1])));
        assert_eq!(Samples::U32(vec![70_000]).to_16_bit(), None);
        assert_eq!(Samples::F32(vec![0.5]).to_16_bit(), None);
    }
}

//! Fields of a protocol-buffer message, as bytes.
//!
//! A field is a key, `number << 3 | type`, and its value; types are 0 for a varint, 1 for eight bytes, 2 for a length
//! and that many bytes, 5 for four bytes.

/// A message that grows field by field.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Message(Vec<u8>);

impl Message {
    pub(super) fn varint(mut self, field: u32, value: u64) -> Self {
        self.key(field, 0);
        varint(&mut self.0, value);
        self
    }

    pub(super) fn double(mut self, field: u32, value: f64) -> Self {
        self.key(field, 1);
        self.0.extend(value.to_le_bytes());
        self
    }

    pub(super) fn float(mut self, field: u32, value: f32) -> Self {
        self.key(field, 5);
        self.0.extend(value.to_le_bytes());
        self
    }

    pub(super) fn bytes(mut self, field: u32, value: &[u8]) -> Self {
        self.key(field, 2);
        varint(&mut self.0, value.len() as u64);
        self.0.extend(value);
        self
    }

    pub(super) fn message(self, field: u32, message: Self) -> Self {
        self.bytes(field, &message.0)
    }

    /// Numbers one after the other behind one key.
    pub(super) fn packed_doubles(self, field: u32, values: impl IntoIterator<Item = f64>) -> Self {
        let bytes: Vec<u8> = values.into_iter().flat_map(f64::to_le_bytes).collect();
        self.bytes(field, &bytes)
    }

    pub(super) fn into_bytes(self) -> Vec<u8> {
        self.0
    }

    fn key(&mut self, field: u32, kind: u64) {
        varint(&mut self.0, u64::from(field) << 3 | kind);
    }
}

/// Seven bits a byte, the lowest first; the highest bit says that more follow.
fn varint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The examples of the encoding's own documentation.
    #[test]
    fn fields_are_encoded_as_the_specification_shows() {
        assert_eq!(Message::default().varint(1, 150).into_bytes(), [0x08, 0x96, 0x01]);
        let text = Message::default().bytes(2, b"testing").into_bytes();
        assert_eq!(text, *b"\x12\x07testing");
        let inner = Message::default().varint(1, 150);
        assert_eq!(
            Message::default().message(3, inner).into_bytes(),
            [0x1a, 0x03, 0x08, 0x96, 0x01]
        );
        let numbers = Message::default().packed_doubles(6, [1.0]).double(1, -2.0).float(2, 0.5);
        let expected = [
            &[0x32, 8][..],
            &1.0_f64.to_le_bytes(),
            &[0x09],
            &(-2.0_f64).to_le_bytes(),
            &[0x15],
            &0.5_f32.to_le_bytes(),
        ];
        assert_eq!(numbers.into_bytes(), expected.concat());
        let most = Message::default().varint(1, u64::MAX).into_bytes();
        assert_eq!((most.len(), most[10]), (11, 1));
    }
}

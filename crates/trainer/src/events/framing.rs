//! Records with their checksums, as TensorFlow frames them.

use crc::{CRC_32_ISCSI, Crc, Table};

/// CRC-32C, the polynomial of Castagnoli.
const CRC: Crc<u32, Table<1>> = Crc::<u32, Table<1>>::new(&CRC_32_ISCSI);

/// Adds a record:
///
/// ```text
/// length (u64), masked(crc(length)), data, masked(crc(data))
/// ```
pub(super) fn frame(out: &mut Vec<u8>, data: &[u8]) {
    let length = (data.len() as u64).to_le_bytes();
    out.extend(length);
    out.extend(masked(&length).to_le_bytes());
    out.extend(data);
    out.extend(masked(data).to_le_bytes());
}

/// A checksum that may stand beside the data it is of, and be summed with it:
///
/// ```text
/// masked = rotate_right(crc, 15) + 0xa282ead8   (mod 2³²)
/// ```
pub(super) fn masked(data: &[u8]) -> u32 {
    CRC.checksum(data).rotate_right(15).wrapping_add(0xa282_ead8)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_checksum_is_that_of_castagnoli() {
        assert_eq!(CRC.checksum(b"123456789"), 0xe306_9283);
        // RFC 3720, B.4: 32 bytes of zeros.
        assert_eq!(CRC.checksum(&[0; 32]), 0x8a91_36aa);
    }

    #[test]
    fn a_record_is_its_length_its_data_and_a_sum_of_each() {
        let mut out = b"before".to_vec();
        frame(&mut out, b"data");
        assert_eq!(out.len(), 6 + 8 + 4 + 4 + 4);
        assert_eq!(out[6..14], 4_u64.to_le_bytes());
        assert_eq!(out[14..18], masked(&out[6..14]).to_le_bytes());
        assert_eq!((&out[18..22], &out[22..]), (&b"data"[..], &masked(b"data").to_le_bytes()[..]));
    }
}

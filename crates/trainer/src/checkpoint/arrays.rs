//! Numbers to little-endian bytes and back, a piece at a time.

use std::collections::BTreeMap;
use std::io::{self, Read, Seek, Write};

use half::bf16;
use interop::safetensors::{Arrays, Dtype, write_header};
use nn::{Numbers, NumbersMut};

use super::VisitArrays;

/// Bytes of numbers that are turned at a time.
const PIECE: usize = 1 << 14;

/// Writes all arrays. None is in memory a second time.
pub(super) fn write(out: &mut dyn Write, visit: &VisitArrays<'_>) -> io::Result<()> {
    let mut arrays: Vec<(String, Dtype, [usize; 1])> = Vec::new();
    visit(&mut |name, numbers| {
        let (dtype, count) = describe(numbers);
        arrays.push((name.to_owned(), dtype, [count]));
    });
    let header = arrays.iter().map(|(name, dtype, shape)| (name.as_str(), *dtype, &shape[..]));
    write_header(out, &BTreeMap::new(), header)?;
    let (mut expected, mut result) = (arrays.iter(), Ok(()));
    visit(&mut |name, numbers| {
        let (dtype, count) = describe(numbers);
        let is_next = |next: &(String, Dtype, [usize; 1])| {
            (&*next.0, next.1, next.2) == (name, dtype, [count])
        };
        if !expected.next().is_some_and(is_next) {
            let what = format!("the array {name:?} was not there at the first visit");
            result = Err(io::Error::new(io::ErrorKind::InvalidInput, what));
        } else if result.is_ok() {
            result = write_numbers(out, numbers);
        }
    });
    if let (Ok(()), Some((name, ..))) = (&result, expected.next()) {
        let what = format!("the array {name:?} was not there at the second visit");
        return Err(io::Error::new(io::ErrorKind::InvalidInput, what));
    }
    result
}

fn describe(numbers: Numbers<'_>) -> (Dtype, usize) {
    match numbers {
        Numbers::F32(values) => (Dtype::F32, values.len()),
        Numbers::F64(values) => (Dtype::F64, values.len()),
        Numbers::Bf16(values) => (Dtype::Bf16, values.len()),
        Numbers::U8(values) => (Dtype::U8, values.len()),
    }
}

fn write_numbers(out: &mut dyn Write, numbers: Numbers<'_>) -> io::Result<()> {
    match numbers {
        Numbers::F32(values) => write_pieces(out, values, f32::to_le_bytes),
        Numbers::F64(values) => write_pieces(out, values, f64::to_le_bytes),
        Numbers::Bf16(values) => write_pieces(out, values, bf16::to_le_bytes),
        Numbers::U8(values) => out.write_all(values),
    }
}

fn write_pieces<const N: usize, T: Copy>(
    out: &mut dyn Write,
    values: &[T],
    bytes_of: impl Fn(T) -> [u8; N],
) -> io::Result<()> {
    let mut piece = [0; PIECE];
    for values in values.chunks(PIECE / N) {
        let piece = &mut piece[..values.len() * N];
        for (bytes, &value) in piece.as_chunks_mut().0.iter_mut().zip(values) {
            *bytes = bytes_of(value);
        }
        out.write_all(piece)?;
    }
    Ok(())
}

/// Fills the room for an array, which must be of its type and length.
pub(super) fn read<R: Read + Seek>(
    arrays: &mut Arrays<R>,
    name: &str,
    room: NumbersMut<'_>,
) -> io::Result<()> {
    match room {
        NumbersMut::F32(room) => read_pieces(arrays, name, Dtype::F32, room, f32::from_le_bytes),
        NumbersMut::F64(room) => read_pieces(arrays, name, Dtype::F64, room, f64::from_le_bytes),
        NumbersMut::Bf16(room) => read_pieces(arrays, name, Dtype::Bf16, room, bf16::from_le_bytes),
        NumbersMut::U8(room) => arrays.take(name, Dtype::U8, room.len())?.read_exact(room),
    }
}

fn read_pieces<const N: usize, R: Read + Seek, T>(
    arrays: &mut Arrays<R>,
    name: &str,
    dtype: Dtype,
    room: &mut [T],
    number: impl Fn([u8; N]) -> T,
) -> io::Result<()> {
    let mut input = arrays.take(name, dtype, room.len())?;
    let mut piece = [0; PIECE];
    for room in room.chunks_mut(PIECE / N) {
        let piece = &mut piece[..room.len() * N];
        input.read_exact(piece)?;
        for (value, &bytes) in room.iter_mut().zip(piece.as_chunks().0) {
            *value = number(bytes);
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;
    use std::io::Cursor;

    use super::*;

    #[test]
    fn numbers_of_every_type_come_back_bit_for_bit() {
        // More than a piece, and some that no comparison tells apart.
        let bits = |i: u32| i.wrapping_mul(0x9e37_79b9);
        let single: Vec<f32> = (0..10_000).map(|i| f32::from_bits(bits(i))).collect();
        let double = [f64::NAN, -0.0, f64::MIN_POSITIVE / 2.0];
        let brain: Vec<bf16> = (0..20_000).map(|i| bf16::from_bits(bits(i) as u16)).collect();
        let bytes: Vec<u8> = (0..=255).collect();
        let mut file = Vec::new();
        write(&mut file, &|visit| {
            visit("bytes", Numbers::U8(&bytes));
            visit("single", Numbers::F32(&single));
            visit("none", Numbers::F32(&[]));
            visit("double", Numbers::F64(&double));
            visit("brain", Numbers::Bf16(&brain));
        })
        .unwrap();
        let mut arrays = Arrays::open(Cursor::new(file)).unwrap();
        let (mut f32s, mut f64s) = (vec![0.0; single.len()], [0.0; 3]);
        let (mut bf16s, mut u8s) = (vec![bf16::ZERO; brain.len()], [0; 256]);
        read(&mut arrays, "brain", NumbersMut::Bf16(&mut bf16s)).unwrap();
        read(&mut arrays, "single", NumbersMut::F32(&mut f32s)).unwrap();
        read(&mut arrays, "none", NumbersMut::F32(&mut [])).unwrap();
        read(&mut arrays, "double", NumbersMut::F64(&mut f64s)).unwrap();
        read(&mut arrays, "bytes", NumbersMut::U8(&mut u8s)).unwrap();
        arrays.finish().unwrap();
        assert!(f32s.iter().zip(&single).all(|(a, b)| a.to_bits() == b.to_bits()));
        assert_eq!(f64s.map(f64::to_bits), double.map(f64::to_bits));
        assert!(bf16s.iter().zip(&brain).all(|(a, b)| a.to_bits() == b.to_bits()));
        assert_eq!(u8s[..], bytes);
    }

    #[test]
    fn arrays_that_differ_between_two_visits_are_refused() {
        for (first, second) in [(1, 2), (2, 1)] {
            let visits = Cell::new(0);
            let result = write(&mut Vec::new(), &|visit| {
                visits.set(visits.get() + 1);
                for name in &["a", "b"][..if visits.get() == 1 { first } else { second }] {
                    visit(name, Numbers::U8(&[1]));
                }
            });
            let error = result.unwrap_err().to_string();
            assert!(error.contains(r#"array "b" was not there"#), "{error}");
        }
    }
}

//! [`Arrays`]: the arrays of a container, read one at a time.

use std::collections::BTreeMap;
use std::io::{self, Read, Seek, SeekFrom};

use super::header::Dtype;
use super::read::{Array, Contents, header_length, wrong_length};
use crate::error::Problem;

/// The arrays of a container that stays where it is: each is read when it is taken.
///
/// ```
/// use std::io::{Cursor, Read, Write};
///
/// use interop::safetensors::{Arrays, Dtype, write_header};
///
/// let mut file = Vec::new();
/// write_header(&mut file, &Default::default(), [("moments", Dtype::F32, &[2][..])])?;
/// file.write_all(&[1.5_f32, -2.0].map(f32::to_le_bytes).concat())?;
///
/// let mut arrays = Arrays::open(Cursor::new(file))?;
/// let mut bytes = Vec::new();
/// arrays.take("moments", Dtype::F32, 2)?.read_to_end(&mut bytes)?;
/// assert_eq!(bytes[4..], (-2.0_f32).to_le_bytes());
/// arrays.finish()?;
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Debug)]
pub struct Arrays<R> {
    input: R,
    arrays: BTreeMap<String, Array>,
}

impl<R: Read + Seek> Arrays<R> {
    /// Reads the header. What is allocated is bounded by the length of the file.
    ///
    /// # Errors
    /// Those of the reader, and [`io::ErrorKind::InvalidData`] with the [`Problem`] of the header.
    pub fn open(mut input: R) -> io::Result<Self> {
        let whole = input.seek(SeekFrom::End(0))?;
        let whole = usize::try_from(whole).map_err(|_| invalid(wrong_length("fewer", whole)))?;
        input.rewind()?;
        let mut length = [0; 8];
        let Some(rest) = whole.checked_sub(length.len()) else {
            return Err(invalid(wrong_length("eight bytes", whole)));
        };
        input.read_exact(&mut length)?;
        let mut header = vec![0; header_length(length, rest).map_err(invalid)?];
        input.read_exact(&mut header)?;
        let data = rest - header.len();
        let contents = Contents::parse(&header, whole - data, data).map_err(invalid)?;
        Ok(Self { input, arrays: contents.arrays })
    }

    /// Takes an array out: a reader of its bytes, which are little-endian.
    ///
    /// # Errors
    /// Those of the reader, and [`io::ErrorKind::InvalidData`] where there is none of that name, type and
    /// number of numbers.
    pub fn take(
        &mut self,
        name: &str,
        dtype: Dtype,
        numbers: usize,
    ) -> io::Result<io::Take<&mut R>> {
        let missing = || invalid(Problem::Missing { what: "tensor", name: name.to_owned() });
        let array = self.arrays.remove(name).ok_or_else(missing)?;
        let found = array.shape.iter().product::<usize>();
        if (array.dtype, found) != (dtype, numbers) {
            let found = format!("{found} of {}", array.dtype);
            let expected = format!("{numbers} of {dtype}");
            return Err(invalid(Problem::of_tensor(name, "numbers", expected, found)));
        }
        self.input.seek(SeekFrom::Start(array.range.start as u64))?;
        Ok(self.input.by_ref().take(array.range.len() as u64))
    }

    /// Checks that everything was taken out.
    ///
    /// # Errors
    /// [`io::ErrorKind::InvalidData`] that names the first array that is left.
    pub fn finish(mut self) -> io::Result<()> {
        match self.arrays.pop_first() {
            None => Ok(()),
            Some((name, _)) => Err(invalid(Problem::LeftOver { what: "tensor", name })),
        }
    }
}

fn invalid(problem: Problem) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, problem)
}

#[cfg(test)]
mod tests {
    use std::io::Cursor;

    use super::*;
    use crate::safetensors::write_header;

    /// Three arrays, the bytes of which are their numbers.
    fn file() -> Vec<u8> {
        let arrays = [
            ("small", Dtype::U8, &[3][..]),
            ("matrix", Dtype::Bf16, &[2, 1]),
            ("empty", Dtype::F32, &[0, 7]),
        ];
        let mut file = Vec::new();
        write_header(&mut file, &BTreeMap::new(), arrays).unwrap();
        file.extend([1, 2, 3, 4, 5, 6, 7]);
        file
    }

    fn take(arrays: &mut Arrays<Cursor<Vec<u8>>>, name: &str, dtype: Dtype, n: usize) -> Vec<u8> {
        let mut bytes = Vec::new();
        arrays.take(name, dtype, n).unwrap().read_to_end(&mut bytes).unwrap();
        bytes
    }

    #[test]
    fn arrays_are_taken_in_any_order_once() {
        let mut arrays = Arrays::open(Cursor::new(file())).unwrap();
        assert_eq!(take(&mut arrays, "matrix", Dtype::Bf16, 2), [4, 5, 6, 7]);
        assert!(take(&mut arrays, "empty", Dtype::F32, 0).is_empty());
        let error = arrays.take("matrix", Dtype::Bf16, 2).unwrap_err().to_string();
        assert_eq!(error, r#"tensor "matrix" is missing"#);
        let error = arrays.take("small", Dtype::U8, 4).unwrap_err().to_string();
        assert_eq!(error, r#"tensor "small": numbers: expected 4 of U8, found 3 of U8"#);
        let mut arrays = Arrays::open(Cursor::new(file())).unwrap();
        take(&mut arrays, "small", Dtype::U8, 3);
        let error = arrays.finish().unwrap_err().to_string();
        assert_eq!(error, r#"tensor "empty" belongs to nothing"#);
    }

    #[test]
    fn a_file_that_was_cut_anywhere_or_goes_on_is_refused() {
        let file = file();
        for length in 0..file.len() {
            assert!(Arrays::open(Cursor::new(&file[..length])).is_err(), "{length}");
        }
        let longer = [&file[..], &[0]].concat();
        assert!(Arrays::open(Cursor::new(&longer)).is_err());
        for byte in 0..8 {
            let mut file = file.clone();
            file[byte] ^= 0x80;
            assert!(Arrays::open(Cursor::new(&file)).is_err());
        }
    }

    #[test]
    fn a_name_that_is_there_twice_is_not_written() {
        let twice = [("a", Dtype::U8, &[1][..]), ("a", Dtype::U8, &[2])];
        let error = write_header(&mut Vec::new(), &BTreeMap::new(), twice).unwrap_err();
        assert_eq!(error.to_string(), r#"the array "a" is there twice"#);
    }
}

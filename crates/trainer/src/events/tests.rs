use std::fs;

use super::framing::masked;
use super::*;
use crate::run::{HeldOutLoss, Start};
use crate::temporary::TemporaryFolder;

/// A field of a message.
#[derive(Debug, Clone, PartialEq)]
enum Field {
    Varint(u64),
    Double(f64),
    Float(f32),
    Bytes(Vec<u8>),
}

/// The fields of a message, by a reader that shares nothing with the writer.
fn fields(mut bytes: &[u8]) -> Vec<(u64, Field)> {
    fn take<'a>(bytes: &mut &'a [u8], count: usize) -> &'a [u8] {
        let (taken, rest) = bytes.split_at(count);
        *bytes = rest;
        taken
    }
    fn varint(bytes: &mut &[u8]) -> u64 {
        let mut value = 0;
        for shift in (0..).step_by(7) {
            let byte = take(bytes, 1)[0];
            value |= u64::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                break;
            }
        }
        value
    }
    let mut fields = Vec::new();
    while !bytes.is_empty() {
        let key = varint(&mut bytes);
        let field = match key & 7 {
            0 => Field::Varint(varint(&mut bytes)),
            1 => Field::Double(f64::from_le_bytes(take(&mut bytes, 8).try_into().unwrap())),
            5 => Field::Float(f32::from_le_bytes(take(&mut bytes, 4).try_into().unwrap())),
            2 => {
                let length = varint(&mut bytes) as usize;
                Field::Bytes(take(&mut bytes, length).to_vec())
            }
            other => panic!("wire type {other}"),
        };
        fields.push((key >> 3, field));
    }
    fields
}

/// The events of a file, with every checksum checked.
fn events(file: &[u8]) -> Vec<Vec<(u64, Field)>> {
    let (mut rest, mut events) = (file, Vec::new());
    while !rest.is_empty() {
        let length = u64::from_le_bytes(rest[..8].try_into().unwrap()) as usize;
        assert_eq!(rest[8..12], masked(&rest[..8]).to_le_bytes());
        let data = &rest[12..12 + length];
        assert_eq!(rest[12 + length..16 + length], masked(data).to_le_bytes());
        events.push(fields(data));
        rest = &rest[16 + length..];
    }
    events
}

/// The tags and numbers of an event.
fn scalars(event: &[(u64, Field)]) -> Vec<(String, f32)> {
    let Some((_, Field::Bytes(summary))) = event.iter().find(|(number, _)| *number == 5) else {
        return Vec::new();
    };
    let values = fields(summary).into_iter().map(|(_, value)| match value {
        Field::Bytes(value) => fields(&value),
        other => panic!("{other:?}"),
    });
    let scalar = |value: Vec<(u64, Field)>| match &value[..] {
        [(1, Field::Bytes(tag)), (2, Field::Float(number))] => {
            Some((String::from_utf8(tag.clone()).unwrap(), *number))
        }
        _ => None,
    };
    values.filter_map(scalar).collect()
}

fn evaluation(step: u32, nats: f64) -> Record {
    let loss = HeldOutLoss { nats, predictions: 1 };
    Record::Evaluation { step, loss, bits_per_byte: None, seconds: 0.0 }
}

fn start() -> Record {
    Record::Start(Start { steps: 300, floor: Some(0.5), ..Start::default() })
}

#[test]
fn a_file_says_its_version_and_then_each_record_with_its_step() {
    let folder = TemporaryFolder::new();
    let mut writer = Events::create(folder.path()).unwrap();
    writer.record(&start()).unwrap();
    writer.record(&evaluation(300, 2.0)).unwrap();
    let (prompt, text) = ("a".to_owned(), "b".to_owned());
    writer.record(&Record::Sample { step: 300, prompt, text, seconds: 0.0 }).unwrap();
    let file = fs::read(writer.path()).unwrap();
    assert_eq!(writer.length().unwrap(), file.len() as u64);
    let events = events(&file);
    assert_eq!(events.len(), 3);
    assert_eq!(events[0][1], (3, Field::Bytes(b"brain.Event:2".to_vec())));
    assert_eq!(events[1][1], (2, Field::Varint(300)));
    let expected = [("held_out/loss", 2.0), ("held_out/floor", 0.5), ("held_out/above_floor", 1.5)];
    assert_eq!(scalars(&events[1]), expected.map(|(tag, value)| (tag.to_owned(), value)));
    assert!(scalars(&events[2]).is_empty());
    assert!(file.windows(2).any(|pair| pair == b"ab"));
    let Field::Double(time) = events[1][0].1 else { panic!("{events:?}") };
    assert!(time > 1.7e9, "{time}");
}

#[test]
fn a_run_that_goes_on_goes_on_in_the_same_file_behind_the_cut() {
    let folder = TemporaryFolder::new();
    let mut writer = Events::create(folder.path()).unwrap();
    writer.record(&start()).unwrap();
    writer.record(&evaluation(1, 5.0)).unwrap();
    let length = writer.length().unwrap();
    writer.record(&evaluation(2, 4.0)).unwrap();
    let path = writer.path().to_owned();
    drop(writer);
    let mut resumed = Events::resume(folder.path(), length, &[start()]).unwrap();
    assert_eq!(resumed.path(), path);
    resumed.record(&evaluation(7, 3.0)).unwrap();
    resumed.sync().unwrap();
    let events = events(&fs::read(path).unwrap());
    let losses: Vec<f32> = events[1..].iter().map(|event| scalars(event)[0].1).collect();
    assert_eq!(losses, [5.0, 3.0]);
    assert_eq!(scalars(&events[2])[1], ("held_out/floor".to_owned(), 0.5));
}

#[test]
fn a_folder_without_the_file_or_with_a_shorter_one_is_an_error() {
    let folder = TemporaryFolder::new();
    let error = Events::resume(folder.path(), 0, &[]).unwrap_err().to_string();
    assert!(error.contains("expected one file") && error.ends_with("found 0 of them"), "{error}");
    drop(Events::create(folder.path()).unwrap());
    let error = Events::resume(folder.path(), 1 << 20, &[]).unwrap_err().to_string();
    assert!(error.contains("expected at least 1048576 bytes"), "{error}");
}

use super::*;
use crate::temporary::TemporaryFolder;

fn step(step: u32) -> Record {
    Record::Step(StepRecord {
        step,
        loss: 2.5,
        learning_rate: 0.1,
        weight_decay: 0.1,
        gradient_norm: 1.0 / 3.0,
        router_loss: None,
        divergence: None,
        flips: None,
        tokens_per_second: 10.0,
        seconds: 1.5,
        mined: None,
        probed: None,
        peak_memory: Some(1 << 40),
    })
}

fn others() -> Vec<Record> {
    let start = Start {
        steps: 9,
        parameters: 7,
        measure: Measure::BYTES,
        floor: Some(0.5),
        baseline: None,
        packed: 1,
        latent: 2,
        other: 3,
    };
    let loss = HeldOutLoss { nats: 1.0, predictions: 7 };
    let (tensor, what, value) = ("head.weight".into(), "gradient".into(), "NaN".into());
    let (prompt, text) = ("<a>\n".into(), "\u{0}\u{fffd}".into());
    vec![
        Record::Start(start),
        Record::Skipped { step: 2, tensor, what, value, seconds: 1.0 },
        Record::Spike { step: 2, loss: 9.0, usual: 2.0, seconds: 1.0 },
        Record::Evaluation { step: 2, loss, bits_per_byte: Some(1.25), seconds: 2.0 },
        Record::Sample { step: 2, prompt, text, seconds: 2.0 },
    ]
}

#[test]
fn every_line_is_an_object_and_is_there_at_once() {
    let folder = TemporaryFolder::new();
    let path = folder.path().join(Record::FILE);
    let mut metrics = Metrics::create(path.clone()).unwrap();
    metrics.write(&step(1)).unwrap();
    others().iter().for_each(|record| metrics.write(record).unwrap());
    let text = fs::read_to_string(&path).unwrap();
    let lines: Vec<serde_json::Value> =
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(lines.len(), 6);
    assert_eq!((&lines[0]["kind"], &lines[0]["loss"]), (&"step".into(), &2.5.into()));
    for absent in ["fogzo_seconds", "router_loss", "flips"] {
        assert!(lines[0].get(absent).is_none(), "{absent}");
    }
    assert_eq!((&lines[1]["unit"], &lines[1]["floor"]), (&"byte".into(), &0.5.into()));
    let evaluation = &lines[4];
    assert_eq!(evaluation["kind"], "evaluation");
    assert_eq!((&evaluation["nats"], &evaluation["predictions"]), (&1.0.into(), &7.into()));
    assert!(Metrics::create(path).is_err());
}

#[test]
fn what_is_written_is_read_back_to_the_last_bit() {
    let folder = TemporaryFolder::new();
    let path = folder.path().join(Record::FILE);
    let mut metrics = Metrics::create(path.clone()).unwrap();
    let mut records = others();
    let Record::Step(plain) = step(3) else { unreachable!() };
    let mined = Some(Mined { kept: 5, mining_seconds: 0.1, whole_loss: 0.0 });
    let probed = Some(Probed { promised_slope: -0.1, measured_slope: 0.3, fogzo_seconds: 0.7 });
    let nearly = 0.1 + 0.2;
    let full =
        StepRecord { mined, probed, flips: Some(nearly), router_loss: Some(1e-300), ..plain };
    records.extend([step(3), Record::Step(full)]);
    records.iter().for_each(|record| metrics.write(record).unwrap());
    assert_eq!(Record::read(&path).unwrap(), records);
}

#[test]
fn kinds_of_another_version_and_half_of_a_last_line_are_left_out() {
    let folder = TemporaryFolder::new();
    let line = serde_json::to_string(&step(3)).unwrap();
    let text = format!("{{\"kind\":\"weather\",\"step\":\"rain\"}}\n{line}\n{}", &line[..20]);
    let path = folder.file(Record::FILE, text);
    assert_eq!(Record::read(&path).unwrap(), [step(3)]);
}

#[test]
fn a_line_that_is_no_record_is_named() {
    let folder = TemporaryFolder::new();
    let line = serde_json::to_string(&step(3)).unwrap();
    for wrong in ["", "[]", "{}", "{\"kind\":\"step\",\"step\":1}", "{\"kind\":7}", "\u{0}"] {
        let path = folder.file(Record::FILE, format!("{line}\n{wrong}\n{line}\n"));
        let error = Record::read(&path).unwrap_err().to_string();
        assert!(error.contains("metrics.jsonl, line 2: expected a record"), "{error}");
    }
}

#[test]
fn a_file_that_is_gone_on_with_is_cut_first_and_one_that_is_too_short_is_refused() {
    let folder = TemporaryFolder::new();
    let path = folder.path().join(Record::FILE);
    let mut metrics = Metrics::create(path.clone()).unwrap();
    metrics.write(&step(1)).unwrap();
    let length = metrics.length().unwrap();
    metrics.write(&step(2)).unwrap();
    let mut metrics = Metrics::resume(path.clone(), length).unwrap();
    metrics.write(&step(7)).unwrap();
    metrics.sync().unwrap();
    assert_eq!(Record::read(&path).unwrap(), [step(1), step(7)]);
    let error = Metrics::resume(path.clone(), 1 << 30).unwrap_err().to_string();
    assert!(error.contains("expected at least 1073741824 bytes"), "{error}");
    assert_eq!(Record::read(&path).unwrap().len(), 2);
}

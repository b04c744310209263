//! Events of TensorFlow's protocol: `Event`, `Summary.Value`, `HistogramProto` and the tensor that a text is.

use super::protobuf::Message;
use crate::run::Histogram;

/// Something that happened at a step.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Event(Message);

/// A curve, a histogram or a text that goes on.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Value(Message);

/// The number by which TensorFlow calls tensors of strings.
const STRING: u64 = 7;

impl Event {
    /// The first event of a file, which says how to read the others.
    pub(super) fn version(time: f64) -> Self {
        Self(Message::default().double(1, time).bytes(3, b"brain.Event:2"))
    }

    /// Values of a step.
    pub(super) fn new(time: f64, step: u32, values: Vec<Value>) -> Self {
        let add = |summary: Message, value: Value| summary.message(1, value.0);
        let summary = values.into_iter().fold(Message::default(), add);
        Self(Message::default().double(1, time).varint(2, step.into()).message(5, summary))
    }

    pub(super) fn to_bytes(&self) -> Vec<u8> {
        self.0.clone().into_bytes()
    }
}

impl Value {
    /// A point of a curve.
    pub(super) fn scalar(tag: &str, value: f64) -> Self {
        Self(Message::default().bytes(1, tag.as_bytes()).float(2, value as f32))
    }

    /// A text.
    pub(super) fn text(tag: &str, text: &str) -> Self {
        let plugin = Message::default().message(1, Message::default().bytes(1, b"text"));
        let one = Message::default().message(2, Message::default().varint(1, 1));
        let tensor = Message::default().varint(1, STRING).message(2, one).bytes(8, text.as_bytes());
        Self(Message::default().bytes(1, tag.as_bytes()).message(8, tensor).message(9, plugin))
    }

    /// How many latent weights lie where, in scales. Sums take each weight to be in the middle of its bin.
    pub(super) fn histogram(tag: &str, histogram: &Histogram) -> Self {
        let counts = || histogram.counts().iter().map(|&count| count as f64).enumerate();
        let middle = |bin| (histogram.edge(bin) + histogram.edge(bin + 1)) / 2.0;
        let sum = |power| counts().map(|(bin, count)| count * f64::powi(middle(bin), power)).sum();
        let proto = Message::default()
            .double(1, histogram.edge(0))
            .double(2, histogram.edge(histogram.counts().len()))
            .double(3, counts().map(|(_, count)| count).sum())
            .double(4, sum(1))
            .double(5, sum(2))
            .packed_doubles(6, counts().map(|(bin, _)| histogram.edge(bin + 1)))
            .packed_doubles(7, counts().map(|(_, count)| count));
        Self(Message::default().bytes(1, tag.as_bytes()).message(5, proto))
    }
}

use super::*;
use crate::parameters::Parameters;
use crate::projection::Dense;

fn layer(heads: [usize; 2], rotary: RotaryTable<f32>) -> Result<Attention<f32>> {
    let mut parameters = Parameters::new();
    let mut dense = |name: &str, shape| -> Result<Box<dyn Projection<f32>>> {
        Ok(Box::new(Dense::random(name, shape, 0.5, 1, &mut parameters)?))
    };
    let projections = AttentionProjections {
        query: dense("q", [heads[0] * 8, 6])?,
        key: dense("k", [heads[1] * 8, 6])?,
        value: dense("v", [heads[1] * 8, 6])?,
        gate: AttentionGate::None,
        output: dense("o", [6, heads[0] * 8])?,
    };
    let options = AttentionOptions {
        query_heads: heads[0],
        key_heads: heads[1],
        head_width: 8,
        rotary: Some(Arc::new(rotary)),
        head_norms: None,
        sub_norm: None,
    };
    Attention::new("block.attention", projections, options)
}

#[test]
fn heads_and_angles_that_do_not_fit_are_refused_by_name() {
    let table = |head_width| RotaryTable::new(1e4, head_width, 4, 5).unwrap();
    let error = |heads, width| layer(heads, table(width)).unwrap_err().to_string();
    // Angles of half the width would take each head for two positions.
    let expected = "block.attention: head width of the angles: expected 8, found 4";
    assert_eq!(error([4, 2], 4), expected);
    assert!(error([3, 2], 8).starts_with("block.attention: query heads"));
    assert!(error([2, 0], 8).starts_with("block.attention: key heads"));
}

#[test]
fn a_sequence_beyond_the_angles_is_refused_by_name() {
    let layer = layer([4, 2], RotaryTable::new(1e4, 8, 4, 5).unwrap()).unwrap();
    let run = |length: usize| {
        let sequences = Sequences { count: 2, length };
        layer.forward(vec![0.5; 12 * length], sequences.into(), &mut Tape::inference())
    };
    assert_eq!(run(5).unwrap().len(), 60);
    let expected = "block.attention: positions of the rotary table: expected 6, found 5";
    assert_eq!(run(6).unwrap_err().to_string(), expected);
}

#[test]
fn padding_is_refused_where_later_rows_would_see_it() {
    let layer = layer([4, 2], RotaryTable::new(1e4, 8, 4, 9).unwrap()).unwrap();
    let sequences = Sequences { count: 1, length: 3 };
    let run = |mask: &[bool]| {
        let context = Context { mask: Some(mask), ..sequences.into() };
        let mut state = layer.state(1);
        layer.resume(vec![0.5; 18], context, &mut state, &mut Tape::inference())
    };
    assert!(run(&[true; 3]).is_ok());
    let expected =
        "block.attention: mask: expected no padding in what is kept, found padding in row 2";
    assert_eq!(run(&[true, true, false]).unwrap_err().to_string(), expected);
}

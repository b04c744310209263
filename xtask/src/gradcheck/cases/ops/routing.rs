//! Routing to experts: the weights of the chosen ones, and the losses of the router.

use nn::Compute;
use nn::ops::{
    Routes, balance_loss, balance_loss_backward, routed_shares, softmax, top_k, top_k_backward,
    z_loss, z_loss_backward,
};

use crate::gradcheck::case::{Case, Outcome};
use crate::gradcheck::cases::op::{Forward, Op, gradient, single, sum};
use crate::gradcheck::gradient::{Array, Gradient};

const ROWS: usize = 3;
const EXPERTS: usize = 7;
const CHOSEN: usize = 2;

/// The cases of these ops.
pub(super) fn all() -> Vec<Box<dyn Case>> {
    let scores = [("scores", &[ROWS, EXPERTS][..])];
    let (balance, z) = (Balance { weight: 0.7 }, Z { weight: 0.7 });
    // A row's exponentials and their sum, for scores in (−1, 1): probabilities are below 1, and
    // z is below 1 + ln 7 < 3. The balance loss is at most E, its gradient E/rows·p·(f − mean), both terms
    // below 1; the gradient of the z loss is 2·z·p/rows.
    let roundings = EXPERTS + 24;
    let experts = EXPERTS as f64;
    vec![
        chosen_weights(),
        single("top_k, f32", "top_k", scores, TopK, sum(roundings, 1.0), [sum(roundings, 4.0)]),
        gradient("balance_loss", "balance_loss", scores, balance),
        single(
            "balance_loss, f32",
            "balance_loss",
            scores,
            balance,
            sum(roundings, experts),
            [sum(roundings, experts)],
        ),
        gradient("z_loss", "z_loss", scores, z),
        single("z_loss, f32", "z_loss", scores, z, sum(roundings, 9.0), [sum(roundings, 9.0)]),
    ]
}

/// The choice and the weights; no step may cross to another choice.
fn chosen_weights() -> Box<dyn Case> {
    // A permutation of seven values a quarter apart in each row: steps keep the order.
    let ranks = (0..ROWS * EXPERTS).map(|i| ((i * 3 + i / EXPERTS) % EXPERTS) as f64 / 4.0 - 0.7);
    let scores = Array::new("scores", &[ROWS, EXPERTS], ranks.collect()).step(1.0 / 64.0);
    let forward = |arrays: [&[f64]; 1]| Ok([TopK.forward(arrays)?.output]);
    let backward = |arrays: [&[f64]; 1], [u]: [&[f64]; 1], d: [&mut [f64]; 1]| {
        TopK.backward(arrays, &TopK.forward(arrays)?, u, d)
    };
    let selected =
        |[scores]: [&[f64]; 1]| Ok(route(scores)?.chosen.into_iter().map(i64::from).collect());
    Box::new(Gradient::new("top_k", &["top_k"], [scores], forward, backward).selecting(selected))
}

struct Routed<T> {
    chosen: Vec<u32>,
    weights: Vec<T>,
}

fn route<T: Compute>(scores: &[T]) -> Outcome<Routed<T>> {
    let slots = ROWS * CHOSEN;
    let (mut probabilities, mut chosen) = (vec![T::ZERO; scores.len()], vec![0; slots]);
    let mut weights = vec![T::ZERO; slots];
    let routes =
        Routes { probabilities: &mut probabilities, chosen: &mut chosen, weights: &mut weights };
    top_k(scores, EXPERTS, CHOSEN, routes)?;
    Ok(Routed { chosen, weights })
}

#[derive(Clone, Copy)]
struct TopK;

impl Op<1> for TopK {
    fn forward<T: Compute>(&self, [scores]: [&[T]; 1]) -> Outcome<Forward<T>> {
        let weights = route(scores)?.weights;
        Ok(Forward { output: weights.clone(), saved: weights })
    }

    fn backward<T: Compute>(
        &self,
        [scores]: [&[T]; 1],
        forward: &Forward<T>,
        upstream: &[T],
        [d_scores]: [&mut [T]; 1],
    ) -> Outcome {
        let chosen = route(scores)?.chosen;
        Ok(top_k_backward(&chosen, &forward.saved, upstream, [EXPERTS, CHOSEN], d_scores)?)
    }
}

/// The balance loss of scores, with the shares of a fixed routing in which an expert has nothing.
#[derive(Clone, Copy)]
struct Balance {
    weight: f64,
}

impl Balance {
    const SLOTS: [u32; ROWS * CHOSEN] = [0, 3, 3, 6, 5, 3];

    fn shares<T: Compute>() -> Outcome<Vec<T>> {
        let mut shares = vec![T::ZERO; EXPERTS];
        routed_shares(&Self::SLOTS, &mut shares)?;
        Ok(shares)
    }
}

impl Op<1> for Balance {
    fn forward<T: Compute>(&self, [scores]: [&[T]; 1]) -> Outcome<Forward<T>> {
        let mut probabilities = vec![T::ZERO; scores.len()];
        softmax(scores, EXPERTS, &mut probabilities)?;
        let loss = self.weight * balance_loss(&probabilities, &Self::shares::<T>()?)?;
        Ok(Forward { output: vec![T::from_f64(loss)], saved: probabilities })
    }

    fn backward<T: Compute>(
        &self,
        _: [&[T]; 1],
        forward: &Forward<T>,
        upstream: &[T],
        [d_scores]: [&mut [T]; 1],
    ) -> Outcome {
        let weight = T::from_f64(self.weight) * upstream[0];
        Ok(balance_loss_backward(&forward.saved, &Self::shares::<T>()?, weight, d_scores)?)
    }
}

#[derive(Clone, Copy)]
struct Z {
    weight: f64,
}

impl Op<1> for Z {
    fn forward<T: Compute>(&self, [scores]: [&[T]; 1]) -> Outcome<Forward<T>> {
        let loss = self.weight * z_loss(scores, EXPERTS)?;
        Ok(Forward { output: vec![T::from_f64(loss)], saved: Vec::new() })
    }

    fn backward<T: Compute>(
        &self,
        [scores]: [&[T]; 1],
        _: &Forward<T>,
        upstream: &[T],
        [d_scores]: [&mut [T]; 1],
    ) -> Outcome {
        let weight = T::from_f64(self.weight) * upstream[0];
        Ok(z_loss_backward(scores, EXPERTS, weight, d_scores)?)
    }
}

//! Prints some of the stories that a run without a text trains on.
//!
//! ```sh
//! cargo run --release -p trainer --example stories
//! ```

fn main() {
    let text = trainer::data::stories(0, 3000);
    println!("{}", String::from_utf8_lossy(&text).trim_end());
}

//! Prints some of the stories that a run without a text trains on, with the bits of their choices.
//!
//! ```sh
//! cargo run --release -p trainer --example stories -- 512
//! ```

use trainer::data::stories::{Stories, read};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let window = std::env::args().nth(1).map_or(Ok(256), |window| window.parse())?;
    let stories = Stories::new(0, window, 64)?;
    for number in 0..4 {
        let story = stories.story(number);
        let bits = read(&story, window)?.nats / std::f64::consts::LN_2;
        println!("{}\n({bits:.1} bits)\n", String::from_utf8_lossy(&story).trim_end());
    }
    println!("floor of the stories that are held out: {:.4} nats/byte", stories.floor());
    Ok(())
}

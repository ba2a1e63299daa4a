//! Benches without the service around them: `bench SET --data DIR [--train DIR] --out DIR`.

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    eprintln!("there is no set {arguments:?} yet");
    std::process::exit(2);
}

//! The one binary: parse, call, exit code.

fn main() -> std::process::ExitCode {
    fieldwright::cli::main()
}

//! What keeps a service from starting, and what it says then.

use std::net::TcpListener;
use std::process::Command;

use crate::rig::{Program, Service, ask, skipped, v4, whole};

const CORES: [&str; 2] = ["[0]", "[0, 1]"];

fn config(cores: &str, listen: &str) -> String {
    format!(
        "[workers]\ncores = {cores}\n[[ingress]]\nname = \"raw\"\nlisten = \"{listen}\"\n\
         budget = \"20s\"\n"
    )
}

pub(crate) fn faults_are_named_and_nothing_is_left_behind(io: &str) {
    wrong_config(io);
    for cores in CORES {
        taken_address(io, cores);
    }
    taken_admin_address(io);
    if io == "uring" {
        without_io_uring();
    }
}

/// Runs to its end, which comes by itself: exit code, output, log.
fn run(config: &str) -> (Option<i32>, String, String) {
    let mut program = Program::start(config, &[]);
    let (status, _) = program.wait();
    (status.code(), program.out(), program.log())
}

/// Every fault with its place, and before anything is bound: the address is taken, and nobody noticed.
fn wrong_config(io: &str) {
    let taken = v4();
    let listen = taken.local_addr().unwrap().to_string();
    let text = whole(io, &config("[0]", &listen)) + "[priority.high]\nbudget = \"61s\"\nvalu = 3\n";
    let line = |needle: &str| text.lines().position(|l| l.contains(needle)).unwrap() + 1;
    let (code, out, log) = run(&text);
    assert_eq!((code, out.as_str()), (Some(78), ""), "{log}");
    assert!(log.contains(&format!("test.toml:{}:10", line("61s"))), "{log}");
    assert!(log.contains(&format!("test.toml:{}:1", line("valu"))), "{log}");
    assert!(log.contains("value") && !log.contains(&listen), "{log}");
}

fn taken_address(io: &str, cores: &str) {
    let holder = v4();
    let listen = holder.local_addr().unwrap().to_string();
    let (code, out, log) = run(&whole(io, &config(cores, &listen)));
    assert_eq!((code, out.as_str()), (Some(1), ""), "{log}");
    assert!(log.contains("in use") && log.matches(&listen).count() == 1, "once: {log}");
    drop(holder);

    // A second instance, although both would open groups that may share a port.
    let first = Service::start(io, &config(cores, &listen));
    let (code, out, log) = run(&whole(io, &config(cores, &listen)));
    assert_eq!((code, out.as_str()), (Some(1), ""), "{log}");
    assert!(log.contains(&listen) && log.contains("in use"), "{log}");
    assert_eq!(ask(&v4(), first.at("raw"), b"123456789").0, [0xe3, 0x06, 0x92, 0x83]);
    starts_again_at_once(io, cores, &listen, first);
}

/// The next instance needs the address when the last one has just ended.
fn starts_again_at_once(io: &str, cores: &str, listen: &str, mut last: Service) {
    for _ in 0..3 {
        last.stop();
        last = Service::start(io, &config(cores, listen));
        assert_eq!(ask(&v4(), last.at("raw"), b"123456789").0, [0xe3, 0x06, 0x92, 0x83]);
    }
}

fn taken_admin_address(io: &str) {
    let holder = TcpListener::bind("127.0.0.1:0").unwrap();
    let admin = holder.local_addr().unwrap().to_string();
    let config = config("[0, 1]", "127.0.0.1:0") + &format!("[admin]\nlisten = \"{admin}\"\n");
    let (code, out, log) = run(&whole(io, &config));
    assert_eq!((code, out.as_str()), (Some(1), ""), "{log}");
    assert!(log.contains("in use") && log.matches(&admin).count() == 1, "once: {log}");
}

/// Where the kernel refuses rings: asked for by name that is an error, with "auto" it is a line in the log.
fn without_io_uring() {
    let refuse = [
        "strace",
        // The tracer as a grandchild: the program itself is ours to stop.
        "-D",
        "-f",
        "-qq",
        "-o",
        "/dev/null",
        "-e",
        "trace=io_uring_setup",
        "-e",
        "inject=io_uring_setup:error=EPERM",
    ];
    let usable = Command::new("strace").args(["-qq", "-o", "/dev/null", "true"]).status();
    if !usable.is_ok_and(|s| s.success()) {
        return skipped("starting: a machine without io_uring", "strace is not usable here");
    }
    let asked = whole("uring", &config("[0]", "127.0.0.1:0"));
    let mut program = Program::start(&asked, &refuse);
    let (status, _) = program.wait();
    assert_eq!((status.code(), program.out().as_str()), (Some(1), ""), "{}", program.log());
    assert!(program.log().contains("io_uring_setup: EPERM"), "{}", program.log());

    let auto = whole("auto", &config("[0]", "127.0.0.1:0"));
    let service = Service::from(Program::start(&auto, &refuse));
    assert_eq!(ask(&v4(), service.at("raw"), b"123456789").0, [0xe3, 0x06, 0x92, 0x83]);
    let chosen = service.program.log_lines("driver chosen");
    assert_eq!(chosen[0]["fields"]["driver"], "mio", "{}", service.program.log());
    assert!(chosen[0]["fields"]["reason"].as_str().unwrap().contains("EPERM"));
}

//! What the device does when it is gone, slow, or wrong: nothing is lost without a word, and nothing comes back twice.

use std::process::Command;

use punctual::base::{KernelId, Nanos};
use punctual::kernel::accel::{Accelerator as _, Ended, Health};
use punctual::kernel::gpu::{Gpu, GpuError, Options};
use punctual::kernel::mlp::{Output, Precision, Spec};
use punctual::kernel::{KernelSpec, Registry};
use punctual::sys::clock::MonotonicClock;

use crate::rig::{
    Hand, OPTIONS, device, device_at, next, payloads, reference, registry, run, spec, staged,
};

fn wide() -> Spec {
    spec(&[64, 1_024, 1_024, 8], Precision::F32, Output::Linear, 0)
}

fn small() -> Spec {
    spec(&[3, 5, 2], Precision::Int8, Output::Linear, 0)
}

/// What comes back within a second or so: tags, and how they ended.
fn drain(gpu: &mut Gpu) -> Vec<(u64, Ended)> {
    let mut all = Vec::new();
    for _ in 0..200 {
        gpu.poll(Nanos::from_millis(5), &mut |staged, how| all.push((staged.tag, how)));
    }
    all
}

#[test]
fn a_device_that_is_destroyed_in_mid_flight_gives_every_batch_back_once() {
    let specs = [wide(), small()];
    let Some(mut gpu) = device("a destroyed device", &specs, OPTIONS) else { return };
    for round in 0..3 {
        let p = payloads(&specs[0], 64, 1);
        for tag in 0..3 {
            gpu.submit(KernelId(0), staged(&specs[0], &p, tag)).expect("room for three");
        }
        gpu.destroy_device();
        let mut all = Vec::new();
        for _ in 0..200 {
            gpu.poll(Nanos::from_millis(5), &mut |batch, how| {
                if how == Ended::Lost {
                    // As it was given: the CPU can run it.
                    let unchanged = p.iter().enumerate().all(|(i, p)| batch.bytes_of(i) == &p[..]);
                    assert!(unchanged, "round {round}");
                }
                all.push((batch.tag, how));
            });
        }
        let tags: Vec<u64> = all.iter().map(|(tag, _)| *tag).collect();
        assert_eq!(tags, [0, 1, 2], "{all:?}");
        assert!(
            all.iter().any(|(_, how)| *how == Ended::Lost),
            "64 rows of a wide network are not that fast"
        );
        assert_eq!(gpu.health(), Health::Down);
        let why = gpu.fault().expect("it says why").to_owned();
        assert!(why.contains("lost") || why.contains("estroyed"), "{why}");
        let refused = gpu.submit(KernelId(0), staged(&specs[0], &p, 9)).expect_err("it is down");
        assert_eq!(refused.tag, 9);

        assert!(gpu.revive(), "{gpu:?}");
        assert_eq!((gpu.health(), gpu.fault()), (Health::Ready, None));
        let p = payloads(&specs[1], 5, 1);
        assert_eq!(run(&mut gpu, 1, &specs[1], &p), reference(&specs[1], &p));
    }
}

#[test]
fn a_device_that_is_destroyed_while_idle_is_down_at_the_next_look() {
    let specs = [small()];
    let Some(mut gpu) = device("destroyed while idle", &specs, OPTIONS) else { return };
    gpu.destroy_device();
    gpu.poll(Nanos::ZERO, &mut |_, _| panic!("nothing was sent"));
    assert_eq!(gpu.health(), Health::Down);
    assert!(gpu.revive());
}

#[test]
fn a_device_that_is_destroyed_before_a_batch_loses_nothing() {
    let specs = [small()];
    let Some(mut gpu) = device("destroyed before", &specs, OPTIONS) else { return };
    let p = payloads(&specs[0], 5, 1);
    gpu.destroy_device();
    let back = match gpu.submit(KernelId(0), staged(&specs[0], &p, 4)) {
        Err(batch) => vec![(batch.tag, Ended::Lost)],
        Ok(()) => drain(&mut gpu),
    };
    assert_eq!(back, [(4, Ended::Lost)]);
    assert_eq!(gpu.health(), Health::Down);
    assert_eq!(drain(&mut gpu), []);
}

/// The largest batch of the first perceptron.
fn slow(gpu: &mut Gpu, spec: &Spec, tag: u64) {
    let p = payloads(spec, gpu.rows_max(), 1);
    gpu.submit(KernelId(0), staged(spec, &p, tag)).expect("it is ready");
}

const SLOW: Options = Options { rows_max: 512, overdue: Nanos::from_millis(20), ..OPTIONS };

/// Tries until the device was still at work when it was looked at: where this thread was kept off its core for longer than a
/// batch takes, there was nothing to be seen.
fn while_at_work(mut attempt: impl FnMut() -> bool) {
    assert!((0..20).any(|_| attempt()), "a large batch is not that fast");
}

#[test]
fn a_batch_past_its_time_makes_the_device_suspect_until_it_is_back() {
    let (specs, clock) = ([wide()], Hand::default());
    let Some(mut gpu) = device_at("a time-out", &specs, SLOW, clock.clone()) else { return };
    while_at_work(|| {
        slow(&mut gpu, &specs[0], 1);
        assert_eq!(gpu.health(), Health::Ready);
        clock.forward(Nanos::from_millis(20));
        let mut done = false;
        gpu.poll(Nanos::ZERO, &mut |_, how| done = how == Ended::Run);
        assert_eq!(gpu.health(), if done { Health::Ready } else { Health::Suspect });
        !done
    });
    let refused = gpu.submit(KernelId(0), staged(&specs[0], &payloads(&specs[0], 1, 1), 2));
    assert_eq!(refused.expect_err("it is suspect").tag, 2);
    let (batch, how) = next(&mut gpu);
    assert_eq!((batch.tag, how, gpu.health()), (1, Ended::Run, Health::Ready));

    // One in time, and it is as if nothing had been.
    let p = payloads(&specs[0], 1, 1);
    run(&mut gpu, 0, &specs[0], &p);
    for (tag, last) in [(3, false), (4, true)] {
        while_at_work(|| {
            if gpu.health() == Health::Ready {
                slow(&mut gpu, &specs[0], tag);
            }
            clock.forward(Nanos::from_millis(20));
            let mut back = None;
            gpu.poll(Nanos::ZERO, &mut |staged, how| back = Some((staged.tag, how)));
            match (gpu.health(), back) {
                (Health::Suspect, None) => !last,
                (Health::Down, back) => {
                    assert_eq!((last, back), (true, Some((4, Ended::Lost))), "two in a row");
                    true
                }
                _ => false,
            }
        });
        if !last {
            assert_eq!(next(&mut gpu).1, Ended::Run);
        }
    }
    let why = gpu.fault().expect("it says why");
    assert!(why.contains("two time-outs of 20000 us"), "{why}");
}

#[test]
fn one_that_hangs_is_given_up_and_revived_when_it_has_let_go() {
    let (specs, clock) = ([wide()], Hand::default());
    let Some(mut gpu) = device_at("a hang", &specs, SLOW, clock.clone()) else { return };
    while_at_work(|| {
        (0..3).for_each(|tag| slow(&mut gpu, &specs[0], tag));
        let mut all = Vec::new();
        while gpu.health() != Health::Down && all.len() < 3 {
            clock.forward(Nanos::from_millis(20));
            gpu.poll(Nanos::ZERO, &mut |staged, how| all.push((staged.tag, how)));
        }
        let tags: Vec<u64> = all.iter().map(|(tag, _)| *tag).collect();
        assert_eq!(tags, [0, 1, 2], "each once: {all:?}");
        let given_up = all[2].1 == Ended::Lost;
        assert_eq!(given_up, gpu.health() == Health::Down, "{all:?}");
        if !given_up {
            return false;
        }
        // It works on, and what it comes to is nobody's.
        let mut refused = 0;
        while !gpu.revive() {
            let why = gpu.fault().expect("it says why");
            assert!(why.contains("still works"), "{why}");
            refused += 1;
            assert!(refused < 100_000_000, "it never lets go");
        }
        refused > 0
    });
    assert_eq!(drain(&mut gpu), [], "nothing comes back twice");
    let p = payloads(&specs[0], 3, 1);
    assert!(run(&mut gpu, 0, &specs[0], &p).iter().all(Option::is_some));
}

#[test]
fn a_device_that_answers_wrongly_is_down_and_says_what_it_gave() {
    for precision in [Precision::F32, Precision::Int8] {
        let right = spec(&[8, 16, 4], precision, Output::Linear, 0);
        let Some(mut gpu) = device("a wrong answer", std::slice::from_ref(&right), OPTIONS) else {
            return;
        };
        gpu.check(&registry(std::slice::from_ref(&right))).expect("it is right");
        let mut other = right.clone();
        let mut layers = right.model.layers().to_vec();
        layers[1].weights[5] += 0.1;
        other.model = std::sync::Arc::new(
            punctual::kernel::mlp::weights::Model::new(layers).expect("the same sizes"),
        );
        let error = gpu.check(&registry(&[other])).expect_err("one weight is another");
        assert!(matches!(error, GpuError::SelfTest { .. }), "{error}");
        let said = error.to_string();
        assert!(said.starts_with("the device failed its self-test, mlp "), "{said}");
        assert!(said.contains("row 0 of 1: ["), "{said}");
        assert_eq!((gpu.health(), gpu.fault()), (Health::Down, Some(said.as_str())));
    }
}

#[test]
fn software_is_not_taken_unless_it_is_allowed() {
    let options = Options { allow_software: false, ..OPTIONS };
    match Gpu::open(&registry(&[small()]), options, MonotonicClock) {
        Ok(gpu) => println!("a real GPU: {:?}", gpu.found()),
        Err(error) => {
            let none = matches!(error, GpuError::NoAdapter | GpuError::OnlySoftware(_));
            assert!(none, "{error}");
        }
    }
    let Some(gpu) = device("software", &[small()], OPTIONS) else { return };
    println!("{}", gpu.found().expect("it is open"));
}

#[test]
fn a_config_without_a_perceptron_needs_no_gpu() {
    let registry = Registry::new(vec![("sum".to_owned(), KernelSpec::Crc32c)]);
    let error = Gpu::open(&registry, OPTIONS, MonotonicClock).expect_err("nothing to run");
    assert_eq!(error, GpuError::NothingToRun);
}

/// In a process of its own, whose driver list is empty.
#[test]
fn no_adapter_is_a_value() {
    if std::env::var_os("PUNCTUAL_TEST_NO_ADAPTER").is_some() {
        let error = Gpu::open(&registry(&[small()]), OPTIONS, MonotonicClock);
        assert_eq!(error.expect_err("there is no driver"), GpuError::NoAdapter);
        assert_eq!(punctual::kernel::gpu::adapter::look(), []);
        return;
    }
    let own = std::env::current_exe().expect("this program");
    let child = Command::new(own)
        .args(["--exact", "faults::no_adapter_is_a_value"])
        .env("PUNCTUAL_TEST_NO_ADAPTER", "1")
        .env("VK_DRIVER_FILES", "/nowhere.json")
        .env("VK_ICD_FILENAMES", "/nowhere.json")
        .output()
        .expect("it starts");
    assert!(child.status.success(), "{}", String::from_utf8_lossy(&child.stdout));
    assert!(String::from_utf8_lossy(&child.stdout).contains("1 passed"));
}

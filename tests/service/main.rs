//! The program itself, started as its users start it and driven by real sockets: what no unit test can see.
//!
//! Every case runs for both drivers. Where this machine forbids io_uring its half is skipped, loudly;
//! `PUNCTUAL_REQUIRE_URING=1` makes that a failure.

#![cfg(test)]
#![expect(
    clippy::disallowed_methods,
    reason = "a test of the whole program is the outside world: it has a clock, threads and an environment of its own"
)]

mod admin;
mod calibrated;
mod chunks;
mod classes;
mod drops;
mod echo;
mod flood;
mod forward;
mod framed;
#[cfg(feature = "gpu")]
mod gpu;
mod helpers;
mod outlier;
mod reload;
mod rig;
mod score;
mod stall;
mod starting;
mod stopping;
mod tiered;

/// Every test of the suite, for one driver.
macro_rules! suite {
    ($driver:ident; $($room:ident { $($test:ident)* })*) => {
        mod $driver {
            $(mod $room {
                $(
                    #[test]
                    fn $test() {
                        let name = concat!(stringify!($driver), "::", stringify!($room), "::", stringify!($test));
                        if let Some(io) = crate::rig::driver(stringify!($driver), name) {
                            crate::$room::$test(io);
                        }
                    }
                )*
            })*
        }
    };
}

macro_rules! every_driver {
    ($($body:tt)*) => {
        suite!(mio; $($body)*);
        suite!(uring; $($body)*);
    };
}

every_driver! {
    admin {
        every_page_says_what_it_should
    }
    calibrated {
        kept_times_are_taken_up_where_they_are_true
    }
    chunks {
        what_is_short_is_answered_in_the_middle_of_what_is_long
        real_kernels_pause_and_answer_the_same
    }
    classes {
        the_mark_decides
    }
    drops {
        every_reason_that_can_be_provoked
    }
    echo {
        answers_on_every_kind_of_address
    }
    flood {
        nothing_is_unaccounted_for
    }
    forward {
        everyone_gets_their_own_answers
    }
    framed {
        bytes_are_exact
    }
    helpers {
        a_burst_is_answered_by_both
    }
    outlier {
        one_outlier_does_not_close_its_class
    }
    reload {
        what_is_live_is_taken_up
    }
    score {
        scores_are_those_of_the_model
    }
    stall {
        a_stalled_worker_is_seen_and_the_other_goes_on
    }
    starting {
        faults_are_named_and_nothing_is_left_behind
    }
    stopping {
        a_stop_under_load_is_clean
    }
    tiered {
        high_goes_first_and_low_last
    }
}

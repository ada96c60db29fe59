//! One suite for every driver: what is true of one must be true of the other.
//!
//! Where this machine forbids io_uring its half is skipped, loudly; `PUNCTUAL_REQUIRE_URING=1` makes that a failure.

#![cfg(test)]

mod receiving;
mod rig;
mod sending;
mod waiting;

/// Every test of the suite, for one driver. `$open` opens a driver or says why there is none.
macro_rules! suite {
    ($driver:ident, $open:expr; $($room:ident { $($test:ident)* })*) => {
        mod $driver {
            $($(
                #[test]
                fn $test() {
                    if let Some(open) = $open(stringify!($test)) {
                        super::$room::$test(open);
                    }
                }
            )*)*
        }
    };
}

macro_rules! every_driver {
    ($($body:tt)*) => {
        suite!(mio, crate::rig::mio; $($body)*);
        suite!(uring, crate::rig::uring; $($body)*);
    };
}

every_driver! {
    receiving {
        echo_over_v4_and_v6
        the_address_asked_for_answers
        dual_stack_answers_both_families
        tos_is_seen
        kernel_stamps_are_sane
        trains_arrive_as_segments
        an_empty_datagram_is_a_datagram
        what_is_too_long_is_marked
        more_than_the_buffers_hold_arrives_later
        no_room_leaves_datagrams_in_the_kernel
        urgent_sockets_come_first
        those_beyond_the_table_are_read_whatever_it_says
        every_loss_is_counted
        an_absent_upstream_does_not_stop_receiving
        the_order_of_a_flow_is_kept
    }
    sending {
        trains_leave_as_datagrams
        trains_without_segmentation_leave_singly
        a_refused_train_leaves_singly
        failures_are_told_in_order
        scattered_parts_are_joined
        a_connected_socket_needs_no_address
        large_batches_leave_whole
    }
    waiting {
        timeouts_are_kept
        a_datagram_ends_the_wait
        what_is_left_over_ends_the_wait
        a_closed_socket_does_not_end_the_wait
        an_opened_socket_ends_the_wait
        a_driver_may_move_to_its_thread
        ports_are_free_when_a_driver_is_gone
    }
}

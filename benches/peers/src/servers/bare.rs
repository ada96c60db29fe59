//! The bare loops of `benches/bare/`, which receive and send trains.

#[path = "../../../bare/echo.rs"]
mod echo;
#[path = "../../../bare/mmsg.rs"]
mod mmsg;
#[expect(dead_code, reason = "a turn without work: here each has some, if only none")]
#[path = "../../../bare/ring.rs"]
mod ring;

use std::net::UdpSocket;

use super::work::Work;

pub(crate) fn mmsg(socket: UdpSocket, work: Work) -> anyhow::Result<()> {
    anyhow::ensure!(!work.is_some(), "this loop only echoes: `mmsg` works as well");
    socket.set_nonblocking(false)?;
    let mut bare = mmsg::Mmsg::new(socket);
    loop {
        bare.turn(libc::MSG_WAITFORONE);
    }
}

pub(crate) fn uring(socket: UdpSocket, mut work: Work) -> anyhow::Result<()> {
    let mut bare = ring::Ring::new(socket);
    loop {
        // What was found is sent at once, not with the next arrival.
        if bare.turn_with(1, |payload| work.run(payload)) > 0 {
            bare.flush();
        }
    }
}

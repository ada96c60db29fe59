//! glommio: one local executor on its core, one task a port.

use std::cell::RefCell;
use std::net::UdpSocket;
use std::os::fd::{FromRawFd as _, IntoRawFd as _};
use std::rc::Rc;

use glommio::{LocalExecutorBuilder, Placement, spawn_local};

use super::DATAGRAM;
use super::work::Work;

pub(crate) fn serve(sockets: Vec<UdpSocket>, work: Work) -> anyhow::Result<()> {
    let work = Rc::new(RefCell::new(work));
    // The thread is pinned already, and glommio's own placement would ask for the same core.
    let executor = LocalExecutorBuilder::new(Placement::Unbound)
        .make()
        .map_err(|e| anyhow::anyhow!("glommio does not start: {e}"))?;
    executor.run(async {
        let ports = sockets.into_iter().map(|s| spawn_local(port(s, work.clone())));
        for task in ports.collect::<Vec<_>>() {
            task.await?;
        }
        Ok(())
    })
}

async fn port(socket: UdpSocket, work: Rc<RefCell<Work>>) -> anyhow::Result<()> {
    // SAFETY: a UDP socket that was just given up.
    let socket = unsafe { glommio::net::UdpSocket::from_raw_fd(socket.into_raw_fd()) };
    let mut buffer = [0; DATAGRAM];
    loop {
        let (len, from) = socket.recv_from(&mut buffer).await.map_err(fault)?;
        work.borrow_mut().run(&mut buffer[..len]);
        socket.send_to(&buffer[..len], from).await.map_err(fault)?;
    }
}

fn fault(error: glommio::GlommioError<()>) -> anyhow::Error {
    anyhow::anyhow!("{error}")
}

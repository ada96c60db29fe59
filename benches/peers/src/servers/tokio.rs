//! tokio: one current-thread runtime, one task a port.

use std::cell::RefCell;
use std::net::UdpSocket;
use std::rc::Rc;

use tokio::task::LocalSet;

use super::DATAGRAM;
use super::work::Work;

pub(crate) fn serve(sockets: Vec<UdpSocket>, work: Work) -> anyhow::Result<()> {
    let work = Rc::new(RefCell::new(work));
    let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build()?;
    let tasks = LocalSet::new();
    tasks.block_on(&runtime, async {
        let ports = sockets.into_iter().map(|s| tokio::task::spawn_local(port(s, work.clone())));
        for task in ports.collect::<Vec<_>>() {
            task.await??;
        }
        Ok(())
    })
}

async fn port(socket: UdpSocket, work: Rc<RefCell<Work>>) -> std::io::Result<()> {
    let socket = tokio::net::UdpSocket::from_std(socket)?;
    let mut buffer = [0; DATAGRAM];
    loop {
        let (len, from) = socket.recv_from(&mut buffer).await?;
        work.borrow_mut().run(&mut buffer[..len]);
        socket.send_to(&buffer[..len], from).await?;
    }
}

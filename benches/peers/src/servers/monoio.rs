//! monoio over io_uring: one runtime, one task a port.

use std::cell::RefCell;
use std::net::UdpSocket;
use std::rc::Rc;

use monoio::IoUringDriver;
use monoio::buf::IoBuf as _;

use super::DATAGRAM;
use super::work::Work;

pub(crate) fn serve(sockets: Vec<UdpSocket>, work: Work) -> anyhow::Result<()> {
    let work = Rc::new(RefCell::new(work));
    let mut runtime = monoio::RuntimeBuilder::<IoUringDriver>::new().build()?;
    runtime.block_on(async {
        let ports = sockets.into_iter().map(|s| monoio::spawn(port(s, work.clone())));
        for task in ports.collect::<Vec<_>>() {
            task.await?;
        }
        Ok(())
    })
}

async fn port(socket: UdpSocket, work: Rc<RefCell<Work>>) -> std::io::Result<()> {
    // The ring waits by itself; a socket that never blocks would make it answer EAGAIN.
    socket.set_nonblocking(false)?;
    let socket = monoio::net::udp::UdpSocket::from_std(socket)?;
    let mut buffer = vec![0_u8; DATAGRAM];
    loop {
        let (result, mut received) = socket.recv_from(buffer).await;
        let (len, from) = result?;
        work.borrow_mut().run(&mut received[..len]);
        let (result, sent) = socket.send_to(received.slice(..len), from).await;
        result?;
        buffer = sent.into_inner();
    }
}

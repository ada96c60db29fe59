//! Small numbers that name things, one type for each so that they cannot be mixed up.

macro_rules! id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(pub u16);

        impl $name {
            /// The place in a table.
            #[must_use]
            #[inline]
            pub const fn index(self) -> usize {
                self.0 as usize
            }
        }
    };
}

id! {
    /// A pinned worker thread: 0, 1, 2 … in the order of `workers.cores`.
    WorkerId
}
id! {
    /// An `[[ingress]]`, in the order of the config file.
    IngressId
}
id! {
    /// An `[[egress]]`, in the order of the config file.
    EgressId
}
id! {
    /// A kernel instance (a kind with its parameters), in the order of the registry.
    KernelId
}
id! {
    /// A socket of one worker, in the order in which its driver was given them.
    SocketId
}

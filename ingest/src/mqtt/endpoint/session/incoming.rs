//! Messages of quality of service 2 from the client: each is taken once.

use super::super::log::Batch;
use super::super::log::record::Record;
use super::Session;

impl Session {
    /// A message of quality of service 2 comes in; false when it came before.
    pub(crate) fn arrives(&self, packet_id: u16) -> bool {
        let mut inner = self.lock();
        !inner.arrived.contains(&packet_id) && inner.arriving.insert(packet_id)
    }

    /// It is durable: from now on a repetition is known.
    pub(crate) fn has_arrived(&self, packet_id: u16, batch: Option<&mut Batch<'_>>) {
        if let Some(batch) = batch
            && self.persistent
        {
            batch.put(&Record::Arrived {
                session: self.number,
                packet_id,
            });
        }
        let mut inner = self.lock();
        inner.arriving.remove(&packet_id);
        inner.arrived.insert(packet_id);
    }

    /// The client releases a packet id: whether it was known, and the ticket to wait for before
    /// that may be confirmed.
    pub(crate) fn release(&self, packet_id: u16) -> (bool, u64) {
        let mut batch = self.is_logged().then(|| self.common.log.begin());
        let known = self.lock().arrived.remove(&packet_id);
        if let Some(batch) = &mut batch
            && known
        {
            batch.put(&Record::Released {
                session: self.number,
                packet_id,
            });
        }
        (known, batch.map_or(0, Batch::end))
    }
}

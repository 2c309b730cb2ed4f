// Package changelog is the durable form of the rows of a partition: it writes each as a record and rebuilds a store
// from them.
//
// The changelog is a compacted topic with a partition for each partition of the application. A commit writes the rows
// it changes there, in the same Kafka transaction as everything else it does; only when that has committed are they
// applied to the store on disk. The store may therefore be behind its changelog, and replay closes the distance. A
// crash leaves one of these:
//
//  1. Before the transaction commits. Its records are aborted, by its time-out or by the next owner, and a reader of
//     committed records never sees them. The store has nothing of it. Nothing is to be done.
//
//  2. After the transaction committed, before the store applied it. The store is one transaction behind. Its position
//     says so, and replay begins there.
//
//  3. After the store applied it, before that was flushed. The store has no log of its own, so what is in memory is
//     gone: after the restart it holds all batches up to some one, each with its position, and none later. As 2, only
//     with more to replay.
//
//  4. While a flush writes. The files that it wrote are not part of the store until its manifest names them, in one
//     edit. As 3.
//
//  5. While a replay runs. Each batch of a replay moves the position with its rows, so the next replay goes on where
//     the store stands, by 3. Until the barrier is reached nobody is served from the store, so it does not matter
//     that, for example, a pending row is there whose tombstone is still to be read. The level is not moved on by an
//     unfinished replay: what is missing are tombstones from after the old level, and they vanish by the old age.
//
//  6. After the barrier row was written, before its replay ends. The changelog ends in a barrier and nothing else of
//     this owner. The next owner writes its own and reads past this one.
//
//  7. While a partition is wiped. The removal of rows and position is one batch as any other: all or nothing, by 3.
//
// So there is no state in which the store is ahead of its changelog or holds a part of a transaction, and no crash
// after which it must be thrown away. What does make it useless is told by Log.Stale: a changelog created anew or cut
// short, and an absence so long that tombstones were compacted away.
//
// We assume: a Pebble batch is atomic and batches survive in their order (tested in package state); Kafka keeps the
// latest record of a key, and its tombstone for delete.retention.ms at least; records of one partition are applied in
// the order of their offsets, each as often as one likes.
package changelog

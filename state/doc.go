// Package state keeps the rows of the partitions of one worker on local disk — function state, pending inputs, delayed
// messages, progress — together with the changelog position each partition stands at.
//
// The disk is a cache of the changelog. There is no write-ahead log and no fsync on the way of a commit: after a crash
// a partition is some transactions behind its changelog, and because its position is written in the same batch as the
// rows, it knows how many. What it can not be is ahead, or half of a transaction:
//
//	Apply(batch n)   rows and positions of all partitions of one commit, in one Pebble batch, into memory
//	flush            whole batches, in their order, become files by one edit of the manifest
//	crash            the batches up to some n survive; n+1 and later are replayed from the changelog
//
// A batch must only hold what is committed in Kafka, since nothing here can be taken back.
//
// The folder of a worker:
//
//	identity.json   whose folder this is, and which processes ran on it; replaced as a whole, fsynced
//	lock            held by the process that runs on the folder
//	db/             Pebble; every key begins with two bytes of partition number
package state

// Reads a log that hem wrote with packages that hem's authors did not write: sumdb's note and tlog, and the formats of
// transparency-dev. Prints what it found as JSON; any difference ends it with an error.
package main

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/transparency-dev/formats/log"
	fnote "github.com/transparency-dev/formats/note"
	"github.com/transparency-dev/formats/proof"
	"github.com/transparency-dev/formats/witness"
	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"
)

// folder reads tiles, and bundles beside them, as C2SP tlog-tiles names them: without the height that sumdb has.
type folder string

func (f folder) Height() int { return 8 }

func (f folder) SaveTiles([]tlog.Tile, [][]byte) {}

func (f folder) ReadTiles(tiles []tlog.Tile) ([][]byte, error) {
	var read [][]byte
	for _, tile := range tiles {
		data, err := f.tile(tile)
		if err != nil {
			return nil, err
		}
		read = append(read, data)
	}
	return read, nil
}

func (f folder) tile(tile tlog.Tile) ([]byte, error) {
	data, err := os.ReadFile(filepath.Join(string(f), strings.Replace(tile.Path(), "tile/8/", "tile/", 1)))
	if os.IsNotExist(err) && tile.W < 256 {
		whole := tile
		whole.W = 256
		if data, err = f.tile(whole); err == nil {
			data = data[:tile.W*tlog.HashSize]
		}
	}
	return data, err
}

func (f folder) entries(size int64) ([][]byte, error) {
	var found [][]byte
	for at := int64(0); at < size; at += 256 {
		width := min(256, size-at)
		path := tlog.Tile{H: 8, L: -1, N: at / 256, W: int(width)}.Path()
		data, err := os.ReadFile(filepath.Join(string(f), strings.Replace(path, "tile/8/data/", "tile/entries/", 1)))
		if err != nil {
			return nil, err
		}
		for ; width > 0; width-- {
			length := int(binary.BigEndian.Uint16(data))
			found = append(found, data[2:2+length])
			data = data[2+length:]
		}
		if len(data) > 0 {
			return nil, fmt.Errorf("%s: bytes left over", path)
		}
	}
	return found, nil
}

func read(path string) []byte {
	data, err := os.ReadFile(path)
	check(err)
	return data
}

func check(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func main() {
	dir, key, policy, proofs := folder(os.Args[1]), os.Args[2], read(os.Args[3]), os.Args[4]
	raw := read(filepath.Join(string(dir), "checkpoint"))
	verifier, err := note.NewVerifier(key)
	check(err)
	verifiers := []note.Verifier{verifier}
	for _, one := range os.Args[5:] {
		cosigner, err := fnote.NewVerifierForCosignatureV1(one)
		check(err)
		verifiers = append(verifiers, cosigner)
	}
	opened, err := note.Open(raw, note.VerifierList(verifiers...))
	check(err)
	if len(opened.Sigs) != len(verifiers) || len(opened.UnverifiedSigs) != 0 {
		check(fmt.Errorf("%d of %d keys signed", len(opened.Sigs), len(verifiers)))
	}
	var tree log.Checkpoint
	_, err = tree.Unmarshal([]byte(opened.Text))
	check(err)
	group, err := witness.ParsePolicy(policy)
	check(err)
	if !group.Satisfied(raw) {
		check(fmt.Errorf("the quorum of the policy is not there"))
	}
	count, hashes := checkTree(dir, tree)
	index := checkProof(read(proofs), verifiers, hashes)
	check(json.NewEncoder(os.Stdout).Encode(map[string]any{
		"origin": tree.Origin, "size": tree.Size, "entries": count, "proved": index, "signatures": len(opened.Sigs)}))
}

func checkTree(dir folder, tree log.Checkpoint) (int, []tlog.Hash) {
	size := int64(tree.Size)
	head := tlog.Tree{N: size, Hash: tlog.Hash(tree.Hash)}
	reader := tlog.TileHashReader(head, dir)
	entries, err := dir.entries(size)
	check(err)
	var hashes []tlog.Hash
	for index, entry := range entries {
		hash := tlog.RecordHash(entry)
		hashes = append(hashes, hash)
		if index%37 == 0 || index == len(entries)-1 {
			path, err := tlog.ProveRecord(size, int64(index), reader)
			check(err)
			check(tlog.CheckRecord(path, size, head.Hash, int64(index), hash))
		}
		stored, err := reader.ReadHashes([]int64{tlog.StoredHashIndex(0, int64(index))})
		check(err)
		if !bytes.Equal(stored[0][:], hash[:]) {
			check(fmt.Errorf("entry %d is not under its leaf", index))
		}
	}
	for old := int64(1); old <= size; old += 41 {
		path, err := tlog.ProveTree(size, old, reader)
		check(err)
		older, err := tlog.TreeHash(old, reader)
		check(err)
		check(tlog.CheckTree(path, size, head.Hash, old, older))
	}
	return len(entries), hashes
}

func checkProof(data []byte, verifiers []note.Verifier, hashes []tlog.Hash) uint64 {
	var found proof.TLogProof
	check(found.Unmarshal(data))
	opened, err := note.Open(found.Checkpoint, note.VerifierList(verifiers...))
	check(err)
	var tree log.Checkpoint
	_, err = tree.Unmarshal([]byte(opened.Text))
	check(err)
	path := tlog.RecordProof{}
	for _, hash := range found.Hashes {
		path = append(path, tlog.Hash(hash))
	}
	leaf := hashes[found.Index]
	check(tlog.CheckRecord(path, int64(tree.Size), tlog.Hash(tree.Hash), int64(found.Index), leaf))
	if tlog.RecordHash(found.ExtraData) != leaf {
		check(fmt.Errorf("the entry in the proof is not the one in the log"))
	}
	return found.Index
}

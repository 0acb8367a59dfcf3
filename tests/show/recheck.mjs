// Rechecks chain and seals of an export (farebox ledger --all --json) from what lib/bank/books.h says is hashed; shares no code with farebox.
//   node recheck.mjs EXPORT [HEAD-SEAL-HASH]     prints what it found; exits 1 at the first thing that does not add up
import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';

const zeros = '0'.repeat(64);
const hash = lines => createHash('sha256').update(lines.map(v => (v ?? '') + '\n').join('')).digest('hex');
const nano = text => BigInt(text.replace('.', ''));
const must = (ok, what, o) => { if (!ok) { console.log(`${what}: ${JSON.stringify(o)}`); process.exit(1); } };

const usage = u => u && [u.input_tokens, u.output_tokens, u.cached_tokens, u.cache_write_tokens, u.reasoning_tokens].join(' ');
const entryHash = e => hash(['farebox entry 1', e.account_id, e.number, e.kind, e.call_id, e.key_id, e.amount, e.balance, e.hold, e.price_version, e.model,
  usage(e.usage), e.ending, e.flags.join(' '), e.time, e.batch, e.corrects, e.ref, e.note, e.prev]);
const sealHash = s => hash(['farebox seal 1', s.number, s.entries, s.time, s.entries_hash, s.total_entries, s.total_credits, s.total_debits, s.prev]);

const accounts = new Map(), calls = new Set();
let seal = { number: 0, hash: zeros }, batch = [], entries = 0, credits = 0n, debits = 0n;
for (const line of readFileSync(process.argv[2], 'utf8').trimEnd().split('\n')) {
  const o = JSON.parse(line);
  if (o.kind !== 'seal') {
    const last = accounts.get(o.account_id) ?? { number: 0, balance: 0n, hash: zeros };
    must(o.hash === entryHash(o), 'hash', o);
    must(o.number === last.number + 1 && o.prev === last.hash, 'chain', o);
    must(nano(o.balance) === last.balance + nano(o.amount), 'balance', o);
    must(o.batch === seal.number + 1, 'batch', o);
    must(!o.call_id || !calls.has(o.call_id), 'call twice', o);
    if (o.call_id) calls.add(o.call_id);
    accounts.set(o.account_id, { number: o.number, balance: nano(o.balance), hash: o.hash });
    nano(o.amount) >= 0n ? credits += nano(o.amount) : debits -= nano(o.amount);
    batch.push(o.hash);
    entries++;
    continue;
  }
  must(o.hash === sealHash(o), 'seal hash', o);
  must(o.number === seal.number + 1 && o.prev === seal.hash, 'seals', o);
  must(o.entries === batch.length && o.entries_hash === hash(batch), 'entries of the seal', o);
  must(o.total_entries === entries && nano(o.total_credits) === credits && nano(o.total_debits) === debits, 'totals', o);
  seal = o;
  batch = [];
}
must(batch.length === 0, 'entries without a seal', batch);
must(!process.argv[3] || seal.hash === process.argv[3], 'another head seal', seal);
console.log(`${entries} entries of ${accounts.size} accounts, ${seal.number} seals, head ${seal.hash}`);

/*
 * The admin protocol: what bin/farebox, the keeper and tests say to a bank over RUN/admin.sock (0600; the store's owner or root, by SO_PEERCRED).
 *
 * Stream socket. A request is one JSON object on one line, at most FARE_ADMIN_LINE_MAX bytes. The answer is zero or more record lines (each a JSON object without a
 * member "ok"), then one last line: {"ok": true, ...} or {"ok": false, "error": "one clear line"}. Requests on one connection are answered in order. Nothing is answered
 * before what it did is durable. Amounts are decimal strings ("12", "0.000000001"; nine places in answers), prices are dollars per million tokens (per_call: dollars),
 * times RFC 3339, ids of keys JSON numbers. Members that an op does not know are refused, so a misspelt one is never ignored.
 *
 * op                 members (optional ones in [])                                                 answer
 * ping                                                                                            last line
 * keep                                                                                            last line; the bank does not leave while this connection is open
 * stop                                                                                            last line; then the bank leaves in good order (holds of running calls stay in their
 *                                                                                                 file); the connection ends when it has left, its lock free
 * reload                                                                                          last line; settings are read again
 * status                                                                                          one status record
 * account.create     name, [credit_limit]                                                         the account record
 * account.set        name, credit_limit                                                           the account record
 * account.list                                                                                    account records by name
 * account.show|close|reopen   name                                                                the account record
 * credit             name, amount (above 0), [ref], [note], [corrects: call id]                    the entry; last line has "already": true when ref was known (nothing is done)
 * debit              likewise, [force: true]                                                      likewise; beyond available without force: refused
 * balance            name                                                                         the balance record
 * key.create         account, [name], [expires: time], [models: globs], [ip: CIDRs]                the key record with "key": its text, said this once
 * key.import         account, sha256 (hex), and as key.create                                     the key record
 * key.set            id, [name], [expires or null], [models], [ip]                                 the key record ("" lifts a limit)
 * key.list           [account]                                                                    key records
 * key.show|revoke    id                                                                           the key record
 * key.rotate         id, [grace_s, default 0: at once]                                             the new key's record with "key"; the old one expires after the grace
 * provider.add       name, style ("openai"), base_url, [key_file], [key_env]                       the provider record; a name that is there is replaced
 * provider.list                                                                                   provider records
 * provider.remove    name                                                                         the provider record; refused while a model uses it
 * model.add          name, provider, [upstream], input, output, [cache_read], [cache_write], [per_call],
 *                    [max_output], [context], [bound_field], [no_stream_options], [stream_hold]   the model record; a name that is there gets a new price version
 * model.list                                                                                      model records by name
 * model.show|remove  name                                                                         the model record
 * ledger             name, [since: time]                                                          entry records of the account, oldest first
 * ledger_all                                                                                      entries and seals in batch order
 * calls              [live: true]                                                                 call records: live ones, then (unless live) what ended lately, newest first
 * why                call_id                                                                      a call's facts (bank/story.h); state "unknown": there is no such call
 * usage              [by: account (default), key, model or day], [since: time], [until: time]     usage records; totals are kept by the day (UTC): every day that the span touches
 * rerate             model, since: time, price_version (of that model), [dry_run: true]            totals, one record for each account and one for all: calls of the model that ended since then
 *                                                                                                 charged at that version's price, the differences posted as entries of kind rerate (not with
 *                                                                                                 dry_run). Done twice it does nothing; one that ends early is finished by the same again
 * backup             dir: an absolute path, empty or not there, that the store's owner may write    one record: head_seal as it was at the start. The copy is to be tried (recovered, verified)
 *                                                                                                 before it is believed; its files are not flushed
 * verify             [head: "NUMBER:HASH" of a seal that was kept elsewhere]                       one record: ok_books, entries, accounts, seals, holds (live and decided, judged when
 *                                                                                                 it was asked), entries_per_second, first_fault (null: none)
 *
 * Records:
 * status     pid, store, epoch, workers (array of {worker, incarnation, pid, connected, slots, holds}), holds, connections, accounts, keys, models, queued (changes not yet
 *            durable), over_hold (calls of this bank that cost more than was held for them), head_seal {number, hash, entries, time} or null, catalogue (generation), started
 * account    name, id, state ("open", "closed"), balance, available, pending, credits, debits, credit_limit, currency, created
 * balance    account, available, pending, credits, debits, credit_limit, currency
 * key        id, account, name, state ("live", "expired", "revoked"), models, ip, expires (null: never), created
 * provider   name, style, base_url, key_file, key_env ("": none)
 * model      name, provider, upstream, input, output, cache_read, cache_write (null: as input), per_call, max_output, context (0: unknown), bound_field, stream_options, stream_hold (0: the whole bound), price_version, created
 * call       call_id, account, key_id, model, state ("idle", "sent", "streaming", "final", "posting", "ended"), hold, cost (null while it runs), ending (null while it runs), started
 * usage      account, key_id, model, day ("2026-11-24"): null what it is not summed by; calls, usage (as in an entry), cost
 * rerate     account (null: all), calls, charged (before), amount (the difference: a charge below 0), posted
 * entry      as fare_entry_json (bank/books.h)
 */
#ifndef FARE_BANK_ADMIN_H
#define FARE_BANK_ADMIN_H

#include "base/first.h"

enum { FARE_ADMIN_LINE_MAX = 64 * 1024, FARE_ADMIN_CLIENTS_MAX = 512 };
#define FARE_ADMIN_SOCKET "admin.sock"
#define FARE_CALL_SOCKET "call.sock"

#endif

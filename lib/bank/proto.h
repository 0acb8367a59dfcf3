/*
 * The messages of call.sock: SOCK_SEQPACKET, one message = one packet, big-endian (base/num.h). Each begins with version, type, slot and call id. A bank serves its own
 * version and the one before: a connection has the version of its hello. Another one's is refused, and the worker waits for a bank that fits.
 * Version 2 added what is marked so below; to version 1 it is not said, and from there it reads as zero.
 * Everything read is checked: a message that does not unpack is a fault of its sender, whose connection is closed.
 */
#ifndef FARE_BANK_PROTO_H
#define FARE_BANK_PROTO_H

#include "base/num.h"
#include "bank/admission.h"

enum { FARE_PROTO_VERSION = 2, FARE_PROTO_OLDEST = 1, FARE_SLOTS_MAX = 8192, FARE_MSG_MAX = 160 * 1024, FARE_MSG_SMALL = 4096 /* all but hello fit */ };
enum { FARE_CHOICES_MAX = 128 };

enum fare_msg_type {
	FARE_MSG_HELLO = 1, FARE_MSG_ADMIT, FARE_MSG_SETTLE, FARE_MSG_VOID, FARE_MSG_CHECK, FARE_MSG_EXTEND /* 2 */, FARE_MSG_READ /* 2 */, FARE_MSG_STORY /* 2 */, /* worker to bank */
	FARE_MSG_WELCOME = 64, FARE_MSG_GRANT, FARE_MSG_REFUSE, FARE_MSG_ACK, FARE_MSG_CHECKED, FARE_MSG_EXTENDED /* 2 */, FARE_MSG_PART /* 2 */, FARE_MSG_STORY_IS /* 2 */ /* bank to worker */
};

struct fare_msg_head {
	uint8_t version, type;
	uint16_t slot;
	struct fare_id call_id;
};

struct fare_listed { uint16_t slot; struct fare_id call_id; };
struct fare_hello {
	struct fare_id incarnation;
	uint32_t worker_no, pid, slots, count;
	struct fare_listed *listed; /* R10: every slot that is not free */
};

/* Asks for a part of a kept answer; key: of the account that paid for it. tag: the asker's own, in the answer too. */
struct fare_part_ask { struct fare_id call_id; struct fare_hash key; uint64_t tag; uint16_t part; };
enum fare_part_result { FARE_PART_HERE = 1, FARE_PART_NONE = 2 /* expired, or another's */, FARE_PART_FAILED = 3 };
struct fare_part { uint64_t tag; uint8_t result; uint32_t total; /* bytes of the whole answer */ struct fare_answer_part bytes; };

/* Packers: bytes written, or 0 when size is too small. version: the reader's; a worker speaks the newest only. */
size_t fare_proto_hello(uint8_t *p, size_t size, const struct fare_hello *h);
size_t fare_proto_bare(uint8_t *p, size_t size, uint8_t version, enum fare_msg_type type, uint16_t slot, struct fare_id call_id); /* settle, void, ack, welcome */
size_t fare_proto_ask(uint8_t *p, size_t size, enum fare_msg_type type, uint16_t slot, const struct fare_admit *a); /* admit, check, story (model: the id of the call that is asked for, as text) */
size_t fare_proto_read(uint8_t *p, size_t size, const struct fare_part_ask *a);
size_t fare_proto_part(uint8_t *p, size_t size, uint8_t version, struct fare_id call_id, const struct fare_part *a);
size_t fare_proto_answer(uint8_t *p, size_t size, uint8_t version, uint16_t slot, struct fare_id call_id, const struct fare_admit_answer *a); /* grant or refuse */
size_t fare_proto_extend(uint8_t *p, size_t size, uint16_t slot, struct fare_id call_id, uint64_t held_output); /* R9: the new size, not the growth */
size_t fare_proto_extended(uint8_t *p, size_t size, uint8_t version, uint16_t slot, struct fare_id call_id, const struct fare_extended *e);
size_t fare_proto_checked(uint8_t *p, size_t size, uint8_t version, struct fare_id call_id, const struct fare_admit_answer *a);
size_t fare_proto_story(uint8_t *p, size_t size, uint8_t version, struct fare_id call_id, struct fare_span text); /* story_is, to who asked with that call id: what bank/story.h writes; "": no such call of that key */

/* Unpackers: false when the message is malformed. The head is read first (false: of a version that is not known, too); k stands behind it. */
bool fare_proto_head(struct fare_unpack *k, struct fare_msg_head *h) FARE_MUST;
/* listed must have room for FARE_SLOTS_MAX. */
bool fare_proto_read_hello(struct fare_unpack *k, struct fare_hello *h) FARE_MUST;
bool fare_proto_read_ask(struct fare_unpack *k, const struct fare_msg_head *h, struct fare_admit *a) FARE_MUST;
bool fare_proto_read_read(struct fare_unpack *k, const struct fare_msg_head *h, struct fare_part_ask *a) FARE_MUST;
bool fare_proto_read_part(struct fare_unpack *k, struct fare_part *a) FARE_MUST;
bool fare_proto_read_answer(struct fare_unpack *k, const struct fare_msg_head *h, struct fare_admit_answer *a) FARE_MUST; /* grant, refuse, checked */
bool fare_proto_read_story(struct fare_unpack *k, struct fare_span *text) FARE_MUST; /* points into the message */
bool fare_proto_read_extend(struct fare_unpack *k, uint64_t *held_output) FARE_MUST;
bool fare_proto_read_extended(struct fare_unpack *k, struct fare_extended *e) FARE_MUST;

#endif

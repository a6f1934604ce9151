/*
 * A slot's past: its tokens, rewinding by ring and checkpoint, saving and restoring. A saved session is the same bytes on every target:
 * "LFMS", version, model hash, lengths, tokens, the slot's state, CRC-32 of all before it, in little-endian words.
 */
#include "lfm_internal.h"

#include <string.h>

/* A convolution's recent rows: that of position p is row p % rows. A step reads the `reads` rows before its own. */
typedef struct lfm_ring {
  size_t offset, row_bytes;
  int32_t rows, reads;
} lfm_ring;

#define LFM_RING_COUNT @ring_count@
static const lfm_ring lfm_rings[] = {
@rings@
};

/* Checkpoint k, from 1, holds ring by ring the rows before position k * interval, oldest first. */
#define LFM_CHECKPOINT_INTERVAL @checkpoint_interval@
#define LFM_CHECKPOINT_OFFSET @checkpoint_offset@ULL
#define LFM_CHECKPOINT_END @checkpoint_end@ULL
#define LFM_CHECKPOINT_BYTES @checkpoint_bytes@ULL

static const uint32_t lfm_model_hash[8] = {@model_hash@};

static int32_t lfm_least(int32_t a, int32_t b) { return a < b ? a : b; }

/* The first checkpoint after a position. */
static int32_t lfm_next_checkpoint(int32_t position) { return (position / LFM_CHECKPOINT_INTERVAL + 1) * LFM_CHECKPOINT_INTERVAL; }

/* Copies the rows of the checkpoint at `position` from the rings, or back; one at the context's very end has no room and no use. */
static void lfm_copy_checkpoint(unsigned char *slot, int32_t position, int keep) {
  size_t kept = LFM_CHECKPOINT_OFFSET + (size_t)(position / LFM_CHECKPOINT_INTERVAL - 1) * LFM_CHECKPOINT_BYTES;
  for (int32_t r = 0; r < LFM_RING_COUNT; r++) {
    const lfm_ring *ring = &lfm_rings[r];
    for (int32_t i = 0; i < ring->reads; i++, kept += ring->row_bytes) {
      const int32_t row = (int32_t)(((int64_t)position + ring->rows - ring->reads + i) % ring->rows);
      unsigned char *recent = slot + ring->offset + (size_t)row * ring->row_bytes;
      if (kept + ring->row_bytes > LFM_CHECKPOINT_END) return;
      if (keep) memcpy(slot + kept, recent, ring->row_bytes);
      else memcpy(recent, slot + kept, ring->row_bytes);
    }
  }
}

static void lfm_clear(lfm_model *model, int32_t slot) {
  memset(lfm_slot_bytes(model, slot), 0, LFM_SLOT_BYTES);
  model->sessions[slot].length = 0;
  model->sessions[slot].earliest = 0;
}

void lfm_advance(lfm_model *model, int32_t slot, int32_t count) {
  lfm_session *session = &model->sessions[slot];
  const int32_t before = session->length;
  session->length += count;
  if (session->earliest < session->length - LFM_REWIND) session->earliest = session->length - LFM_REWIND;
  for (int32_t at = lfm_next_checkpoint(before); at <= session->length; at = lfm_next_checkpoint(at))
    lfm_copy_checkpoint(lfm_slot_bytes(model, slot), at, 1);
}

int32_t lfm_length(const lfm_model *model, int32_t slot) { return lfm_is_slot(model, slot) ? model->sessions[slot].length : -1; }

/* Further beyond a checkpoint, the rings would no longer hold the rows that it keeps. */
int32_t lfm_room(const lfm_model *model, int32_t slot) {
  const int32_t length = lfm_length(model, slot);
  if (length < 0) return -1;
  return lfm_least(lfm_least(LFM_CHUNK, LFM_CONTEXT - length), lfm_next_checkpoint(length) + LFM_REWIND - length);
}

/* Evaluates the slot's known tokens up to `length`, without logits. */
static void lfm_catch_up(lfm_model *model, int32_t slot, int32_t length) {
  const lfm_session *session = &model->sessions[slot];
  while (session->length < length) {
    const int32_t count = lfm_least(lfm_room(model, slot), length - session->length);
    for (int32_t i = 0; i < count; i++) {
      const int32_t position = session->length + i;
      const lfm_row row = {session->tokens[position], slot, position, 0};
      memcpy(model->memory + LFM_ROWS_OFFSET + (size_t)i * sizeof row, &row, sizeof row);
    }
    lfm_execute(model, count, 0);
    lfm_advance(model, slot, count);
  }
}

lfm_status lfm_reset(lfm_model *model, int32_t slot) {
  if (model == NULL) return LFM_ERROR_ARGUMENT;
  if (!lfm_is_slot(model, slot)) return LFM_ERROR_SLOT;
  lfm_clear(model, slot);
  return LFM_OK;
}

lfm_status lfm_rewind(lfm_model *model, int32_t slot, int32_t length) {
  lfm_session *session;
  if (model == NULL) return LFM_ERROR_ARGUMENT;
  if (!lfm_is_slot(model, slot)) return LFM_ERROR_SLOT;
  session = &model->sessions[slot];
  if (length < 0 || length > session->length) return LFM_ERROR_POSITION;
  if (length > 0 && length < session->earliest) {
    const int32_t checkpoint = length / LFM_CHECKPOINT_INTERVAL * LFM_CHECKPOINT_INTERVAL;
    if (!lfm_environment_ok()) return LFM_ERROR_ARITHMETIC;
    if (checkpoint == 0) lfm_clear(model, slot);
    else lfm_copy_checkpoint(lfm_slot_bytes(model, slot), checkpoint, 0);
    session->length = session->earliest = checkpoint;
    lfm_catch_up(model, slot, length);
  } else if (length == 0) lfm_clear(model, slot);
  else session->length = length;
  return LFM_OK;
}

/* CRC-32 (IEEE 802.3, reflected), four bits at a time. */
static uint32_t lfm_crc32(const unsigned char *bytes, size_t count) {
  static const uint32_t table[16] = {0x00000000, 0x1db71064, 0x3b6e20c8, 0x26d930ac, 0x76dc4190, 0x6b6b51f4, 0x4db26158, 0x5005713c,
                                     0xedb88320, 0xf00f9344, 0xd6d6a3e8, 0xcb61b38c, 0x9b64c2b0, 0x86d3d2d4, 0xa00ae278, 0xbdbdf21c};
  uint32_t crc = 0xffffffffu;
  for (size_t i = 0; i < count; i++) {
    crc ^= bytes[i];
    crc = (crc >> 4) ^ table[crc & 15];
    crc = (crc >> 4) ^ table[crc & 15];
  }
  return ~crc;
}

/* The words before the tokens. */
enum { LFM_WORD_MAGIC, LFM_WORD_VERSION, LFM_WORD_HASH, LFM_WORD_TOKENS = 10, LFM_WORD_LENGTH, LFM_WORD_EARLIEST, LFM_WORD_STATE, LFM_HEADER_WORDS };
#define LFM_SNAPSHOT_MAGIC 0x534d464cu
#define LFM_SNAPSHOT_VERSION 1u

static size_t lfm_snapshot_bytes(size_t tokens) { return (LFM_HEADER_WORDS + tokens) * 4 + (size_t)LFM_SLOT_BYTES + 4; }

size_t lfm_session_bytes(const lfm_model *model, int32_t slot) {
  return lfm_is_slot(model, slot) ? lfm_snapshot_bytes((size_t)model->sessions[slot].length) : 0;
}

lfm_status lfm_save(const lfm_model *model, int32_t slot, void *out, size_t capacity) {
  const lfm_session *session;
  unsigned char *bytes = out;
  uint32_t header[LFM_HEADER_WORDS], crc;
  size_t tokens, count;
  if (model == NULL || out == NULL) return LFM_ERROR_ARGUMENT;
  if (!lfm_is_slot(model, slot)) return LFM_ERROR_SLOT;
  session = &model->sessions[slot];
  tokens = (size_t)session->length;
  count = lfm_snapshot_bytes(tokens);
  if (capacity < count) return LFM_ERROR_BUFFER;
  header[LFM_WORD_MAGIC] = LFM_SNAPSHOT_MAGIC;
  header[LFM_WORD_VERSION] = LFM_SNAPSHOT_VERSION;
  memcpy(&header[LFM_WORD_HASH], lfm_model_hash, sizeof lfm_model_hash);
  header[LFM_WORD_TOKENS] = header[LFM_WORD_LENGTH] = (uint32_t)session->length;
  header[LFM_WORD_EARLIEST] = (uint32_t)session->earliest;
  header[LFM_WORD_STATE] = (uint32_t)LFM_SLOT_BYTES;
  memcpy(bytes, header, sizeof header);
  memcpy(bytes + sizeof header, session->tokens, tokens * 4);
  memcpy(bytes + sizeof header + tokens * 4, lfm_slot_bytes(model, slot), LFM_SLOT_BYTES);
  crc = lfm_crc32(bytes, count - 4);
  memcpy(bytes + count - 4, &crc, 4);
  return LFM_OK;
}

/* Whether whole and unaltered bytes are a session that this model can have. */
static lfm_status lfm_check_snapshot(const uint32_t header[LFM_HEADER_WORDS], const unsigned char *tokens, size_t count) {
  const uint32_t length = header[LFM_WORD_LENGTH], earliest = header[LFM_WORD_EARLIEST];
  if (memcmp(&header[LFM_WORD_HASH], lfm_model_hash, sizeof lfm_model_hash) != 0) return LFM_ERROR_SNAPSHOT_FOREIGN;
  if (header[LFM_WORD_STATE] != (uint32_t)LFM_SLOT_BYTES) return LFM_ERROR_SNAPSHOT;
  if (header[LFM_WORD_TOKENS] > LFM_CONTEXT) return LFM_ERROR_SNAPSHOT_FOREIGN;
  if (count != lfm_snapshot_bytes(header[LFM_WORD_TOKENS])) return LFM_ERROR_SNAPSHOT;
  if (length > header[LFM_WORD_TOKENS] || earliest > length || length - earliest > LFM_REWIND) return LFM_ERROR_SNAPSHOT_FOREIGN;
  for (uint32_t i = 0; i < header[LFM_WORD_TOKENS]; i++) {
    uint32_t token;
    memcpy(&token, tokens + i * 4, 4);
    if (token >= LFM_VOCABULARY) return LFM_ERROR_SNAPSHOT_FOREIGN;
  }
  return LFM_OK;
}

lfm_status lfm_restore(lfm_model *model, int32_t slot, const void *saved, size_t count) {
  const unsigned char *bytes = saved;
  uint32_t header[LFM_HEADER_WORDS], crc;
  lfm_session *session;
  lfm_status status;
  size_t tokens;
  if (model == NULL || saved == NULL) return LFM_ERROR_ARGUMENT;
  if (!lfm_is_slot(model, slot)) return LFM_ERROR_SLOT;
  if (count < sizeof header + 4) return LFM_ERROR_SNAPSHOT;
  memcpy(header, bytes, sizeof header);
  memcpy(&crc, bytes + count - 4, 4);
  if (header[LFM_WORD_MAGIC] != LFM_SNAPSHOT_MAGIC || header[LFM_WORD_VERSION] != LFM_SNAPSHOT_VERSION) return LFM_ERROR_SNAPSHOT;
  if (lfm_crc32(bytes, count - 4) != crc) return LFM_ERROR_SNAPSHOT;
  status = lfm_check_snapshot(header, bytes + sizeof header, count);
  if (status != LFM_OK) return status;
  if (!lfm_environment_ok()) return LFM_ERROR_ARITHMETIC;
  tokens = header[LFM_WORD_TOKENS];
  session = &model->sessions[slot];
  memcpy(session->tokens, bytes + sizeof header, tokens * 4);
  memcpy(lfm_slot_bytes(model, slot), bytes + sizeof header + tokens * 4, LFM_SLOT_BYTES);
  session->length = (int32_t)header[LFM_WORD_LENGTH];
  session->earliest = (int32_t)header[LFM_WORD_EARLIEST];
  lfm_catch_up(model, slot, (int32_t)tokens);
  return LFM_OK;
}

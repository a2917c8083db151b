// SPDX-License-Identifier: Apache-2.0
// The ground floor: what every room may use. libc only; knows no other room.
#pragma once

#include "clock.h"
#include "count.h"
#include "crc.h"
#include "json.h"
#include "log.h"
#include "map.h"
#include "mem.h"
#include "names.h"
#include "sync.h"
#include "text.h"

// SPDX-License-Identifier: Apache-2.0
// Truth: 70 % of the CPU time in work70, 20 % in work20, 10 % in work10, called by turn by turn().
// node --perf-basic-prof split.js [SECONDS], else until it is ended; the map's names are "JS:*work70 FILE:LINE:COLUMN"
// (~ and ^ instead of * for the first second, which the shares leave out). The JIT is kept from inlining, or turn()
// would be all there is.
'use strict';
require('v8').setFlagsFromString('--no-turbo-inlining');

const unit = 13000; // iterations, each waiting for the one before
let sum = 1;

function work70() {
	let x = sum;
	for (let i = 0; i < 7 * unit; i++) x = (Math.imul(x, 1664525) + 5) | 0;
	sum = x;
}

function work20() {
	let x = sum;
	for (let i = 0; i < 2 * unit; i++) x = (Math.imul(x, 1664525) + 1) | 0;
	sum = x;
}

function work10() {
	let x = sum;
	for (let i = 0; i < unit; i++) x = (Math.imul(x, 1664525) + 3) | 0;
	sum = x;
}

function turn() {
	work70();
	work20();
	work10();
}

const end = Date.now() + 1000 * Number(process.argv[2] || 1e9);
while (Date.now() < end) turn();

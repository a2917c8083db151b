// SPDX-License-Identifier: Apache-2.0
// Lines that fit a terminal: one that wraps spoils what is drawn over it.
#pragma once

// The size of the terminal FD; 40 lines of 100 columns where it is none or does not say.
void terminal_size(int fd, int *lines, int *columns);
// Takes the tabs out of LINE (plain ASCII), and from the first part between them that does not fit
// into COLUMNS everything: half a number would be another one.
void terminal_fit(char *line, int columns);

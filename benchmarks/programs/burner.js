// Spikes in plantedHot.
'use strict';
const fs = require('fs');

function plantedHot(seed) {
  for (let i = 0; i < 4000000; i++) seed = (seed * 1103515245 + 12345) % 2147483648;
  return seed;
}

fs.writeSync(1, 'ready\n');
fs.readSync(0, Buffer.alloc(1));
const start = Date.now();
let told = 0;
for (let seed = 1, rounds = 1; Date.now() - start < 60000; rounds++) {
  seed = plantedHot(seed);
  if (Date.now() - told > 100) {
    told = Date.now();
    fs.writeSync(1, `${process.pid} ${rounds}\n`);
  }
}

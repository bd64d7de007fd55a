/* SPDX-License-Identifier: BSD-2-Clause */
/* The table of published Cobblestone-256 messages: in hex, but for the full chunks. */
#include "chunked_vectors.h"

#include "page/chunked.h"
#include "support.h"
#include <string.h>

#define YELLOW "59454c4c4f57205355424d4152494e452059454c4c4f57205355424d4152494e"
#define ORANGE "4f52414e4745205355424d4152494e45204f52414e4745205355424d4152494e"
/* 16 KiB of zeros: plaintexts were chosen so that full chunks encrypt to them. */
#define FULL "full"

const struct chunked_vector chunked_vectors[] = {
    {1,
     YELLOW,
     "",
     {"43a2e39431cbae0389d3fc86adf46f7c3a24de88d9311617e53f3164cc1d5dc738a66b97f0bf786565c31799c2f4"
      "63d50a7e10046011dc6fc3c939e3a5db7affb6191551669554fb"},
     ENVOL_OK,
     "cf83e1357eefb8bdf1542850d66d8007d620e4050b5715dc83f4a921d36ce9ce"},
    {2,
     YELLOW,
     "",
     {"a1a1b56f6db58cd1ede0c5c9db62aef20d3f96a6c594bb9252bb38122de91236502b42a1d7fcab820ffa292940d2"
      "f86add212cfa42c38df19d3cc9139ee61a5990d3db57433514229beea49a8a72bd"},
     ENVOL_OK,
     NULL},
    {3,
     YELLOW,
     "",
     {"b9eca7d48b49c76acc0a10833699035db2160b30af69f8844cc09e21ccb4f537032c8fbf2392e57a192821e903fc"
      "d16e8508884f64f8c4b2",
      FULL, "0d3065f8fbdbb7864988647a1f996f74002d3c1b8479b72d9039922affeee6e704"},
     ENVOL_OK,
     "db9e441f318209d02c8eaedfa94be7a08d3414057835c80ecea2deb0b16438ff"},
    {6,
     YELLOW,
     "",
     {"aa61a95ab04aa5eac4ecd9e83ef47f88dd07fdc07e38b6c9d77ec3c07801fc40bec0e07020a0d36d3e6e6354833c"
      "21301d52a32cffe087df",
      FULL, "31454358e7e1032d5bb622de82a8bf9b3dca8e38cc0b8942d7eb1f5ef9a56d7b"},
     ENVOL_OK,
     "d787e0bf39e0d2e9a707b94bc77329f665286160744507f0fac9608e33a98994"},
    {9,
     YELLOW,
     "test context",
     {"dbedaefc1c35dc6c0f22b743b03e488747166a51f33479e7ceb8b7e11cc0d2710f624a127501bc4aea7d0af6f83c"
      "fe359b9e69415aa537f36adf86eb35b070475baa039bb7791432adbca49578bbd3"},
     ENVOL_OK,
     NULL},
    /* a flipped bit of ciphertext */
    {11,
     YELLOW,
     "",
     {"0093274a932cb4340ca678d500719d80ccc21f69c49586a8cae519f1ae94a13a97038610177fe840ac755f660484"
      "9272444b0de559508a2a00538b8dd8cc3a83e14df1343fa14630a2"},
     ENVOL_E_CORRUPT,
     NULL},
    /* less than a tag after the header; a header; less than a header; a message without its end */
    {17,
     YELLOW,
     "",
     {"679551dfcc4221c2c5f3dfcff2f94fcd7df0dc5d0dac8ceb294cda58ffffbe199532a141b16102b69550faa5e131"
      "5a3c823e58b9e3141839e1fd278b80a7dabc12eaa4ed"},
     ENVOL_E_TRUNCATED,
     NULL},
    {20,
     YELLOW,
     "",
     {"e728f14e89526f8830991f461c0fd07601a246a0c94b753ba4fab29386d9e39e72d5e8955f709651b6dedb825c64"
      "c984364f74e1b6ac93d6"},
     ENVOL_E_TRUNCATED,
     NULL},
    {28, YELLOW, "", {"6f8cd259c00e57e2df4db3ca991e5180a9d412808d193e27"}, ENVOL_E_TRUNCATED, NULL},
    {31,
     YELLOW,
     "",
     {"e27b019a1bfeb83adcaeb375754730ec315786523f831a1fa27d91b9fb79626946a172a0844bd3ccf2d7ebddb9b4"
      "d8565f24210e5dfc5ebf",
      FULL, "37eb36fa792ba195e1ebf12338688d8c"},
     ENVOL_E_TRUNCATED,
     NULL},
    /* wrong commitment, key, context, salt */
    {21,
     YELLOW,
     "",
     {"a7bf214ab87afe86ae30940aba6d25aa92d1c26a7c4de03ece1f5f63bd31ca5d9517ce97effb9ce62c4f01433335"
      "d070ca3de6243f4cb67a00a4deb622c6b80140d1c88f54ade32fdc"},
     ENVOL_E_WRONG_KEY,
     NULL},
    {22,
     ORANGE,
     "",
     {"abeb3f4f4a3ea1f1f76bc25808b37063d4cb21425ca6a8b16271ed22f6a3f51ec7e7fa4dcef196179d3c77b5b421"
      "03766ae1975bae6ae0690079aa245e53811c13d45a553b0365b499"},
     ENVOL_E_WRONG_KEY,
     NULL},
    {25,
     YELLOW,
     "wrong context",
     {"36201844cafc0e596bec8782c560b7b1d065b90a94d227007f07a7185f0c1f449310232a0ff1d5667ece42aff4e7"
      "c0359df78ece43b312d50034c80236b5c7900f7eebe540d242b8eb"},
     ENVOL_E_WRONG_KEY,
     NULL},
    {26,
     YELLOW,
     "",
     {"7c510aa191fdb799b3715106fb9da30a3e314a08a12bf1eed6084369ad9560c21c856d0087e1206c5c1e9a994b3c"
      "a98542e0fe1ffef9e23c0091398606b7077f679901eea490bb8f6b"},
     ENVOL_E_WRONG_KEY,
     NULL},
    /* chunks 0 and 1 exchanged; chunk 0 twice; a chunk after the last */
    {33,
     YELLOW,
     "",
     {"7d6a1dd319cebce4f60b9ffee89c4f75eef8a764325aac7c76fb0cb8b88cbaa1b7b8309ea798cbd81927d2fd8afa"
      "9e62c2ae361e982a37b2",
      FULL, "7cc26016fc19cc46cc1d5be9f660e336", FULL,
      "9688953684cb8c7ff9f047b449bf301b00f0f3b9f61d94e666bb6787e54caca1e4"},
     ENVOL_E_CORRUPT,
     NULL},
    {34,
     YELLOW,
     "",
     {"62b31eab0b81a9ab59c8c606b55c0320fb17704741540884ea84870b7bcc32b22197e0a5092186922f9390c20040"
      "4453ed67212221f59d46",
      FULL, "30cd9db7554a531e981b565f75237ca8", FULL,
      "30cd9db7554a531e981b565f75237ca800db8adf633cf89b81ced1977738dbeb3e"},
     ENVOL_E_CORRUPT,
     NULL},
    {35,
     YELLOW,
     "",
     {"519c3f8c2a3853a258ed1c0fb13b12194625ada3e286de26d884cdba7e26a4313966d62b8a20be090bf906e16aed"
      "16a301689c71ea52e78d",
      FULL,
      "5ab16cffec7dd116088699bd909279cc00a569cac3d4bf9e99d5497a10296c187200c85a3efad404b60bebc6b052"
      "8f374156"},
     ENVOL_E_CORRUPT,
     NULL},
    {.key = NULL},
};

size_t chunked_vector_message(const struct chunked_vector *vector, uint8_t *message,
                              size_t capacity)
{
    size_t bytes = 0;

    for (size_t i = 0; i < 5 && vector->parts[i] != NULL; i++) {
        if (strcmp(vector->parts[i], FULL) != 0) {
            bytes += test_unhex(vector->parts[i], message + bytes, capacity - bytes);
            continue;
        }
        ck_assert_uint_le(ENVOL_CHUNK_BYTES, capacity - bytes);
        memset(message + bytes, 0, ENVOL_CHUNK_BYTES);
        bytes += ENVOL_CHUNK_BYTES;
    }
    return bytes;
}

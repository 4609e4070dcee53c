"""The mistake that the window prevents: takes whatever comes, however slowly it can be passed on."""
import asyncio
import sys

front, back = int(sys.argv[1]), int(sys.argv[2])


async def pump(reader, writer):
    while data := await reader.read(1 << 18):
        writer.write(data)
    writer.write_eof()


async def flow(down_reader, down_writer):
    up_reader, up_writer = await asyncio.open_connection("127.0.0.1", back)
    await asyncio.gather(pump(down_reader, up_writer), pump(up_reader, down_writer))


async def main():
    server = await asyncio.start_server(flow, "127.0.0.1", front)
    await server.serve_forever()


asyncio.run(main())

// Blocking sockets of Java, for left_alone.sh: an echo server and a client.
import java.io.DataInputStream;
import java.io.File;
import java.io.InputStream;
import java.io.OutputStream;
import java.net.InetAddress;
import java.net.ServerSocket;
import java.net.Socket;
import java.util.Arrays;

public class LeftAlone {
    static void echo(Socket socket) throws Exception {
        InputStream in = socket.getInputStream();
        OutputStream out = socket.getOutputStream();
        byte[] buffer = new byte[1 << 16];
        int n;
        while ((n = in.read(buffer)) > 0) {
            out.write(buffer, 0, n);
        }
        socket.close();
    }

    // Turns of 64 bytes until the file is there, then so many bytes there and back.
    static void client(Socket socket, File until, int size) throws Exception {
        DataInputStream in = new DataInputStream(socket.getInputStream());
        OutputStream out = socket.getOutputStream();
        byte[] turn = new byte[64];
        do {
            out.write(turn);
            in.readFully(turn);
            Thread.sleep(1);
        } while (!until.exists());
        byte[] sent = new byte[size];
        for (int i = 0; i < size; i++) {
            sent[i] = (byte) (i * i >> 8 ^ i);
        }
        Thread writer = new Thread(() -> {
            try {
                out.write(sent);
                socket.shutdownOutput();
            } catch (Exception e) {
                throw new RuntimeException(e);
            }
        });
        writer.start();
        if (!Arrays.equals(sent, in.readAllBytes())) {
            throw new Exception("other bytes than those sent");
        }
        writer.join();
    }

    public static void main(String[] arguments) throws Exception {
        int port = Integer.parseInt(arguments[1]);
        InetAddress host = InetAddress.getByName("127.0.0.1");
        if (arguments[0].equals("client")) {
            client(new Socket(host, port), new File(arguments[2]), Integer.parseInt(arguments[3]));
            return;
        }
        ServerSocket listener = new ServerSocket(port, 50, host);
        while (true) {
            echo(listener.accept());
        }
    }
}
